"""Images that are too large to be held: read, predicted and written in bands."""
