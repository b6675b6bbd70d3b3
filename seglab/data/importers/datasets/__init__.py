"""Data sets that the field publishes, one module a layout."""
