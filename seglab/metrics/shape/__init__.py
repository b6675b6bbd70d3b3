"""Metrics of where masks end: boundaries, surfaces, slices by size and kinds of error."""
