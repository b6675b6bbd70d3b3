"""Files that are predicted: found, read, and where on Earth they are."""
