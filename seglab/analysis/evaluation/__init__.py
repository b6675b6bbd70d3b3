"""What the evaluation of a run says: by class, slice, corruption, confidence, image and fold."""
