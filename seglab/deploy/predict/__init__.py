"""Predict files, folders and videos with a bundle; free of torch."""
