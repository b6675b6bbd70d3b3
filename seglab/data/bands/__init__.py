"""Images of many bands: reading them, and the statistics of their training part."""
