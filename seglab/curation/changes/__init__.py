"""What differs between two versions of a data set: samples, files, pixels by class, and pictures of them."""
