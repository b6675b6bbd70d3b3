"""Do the images of late look like those the model was measured on? Tests over windows of a stream."""
