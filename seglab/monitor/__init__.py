"""What becomes of a model in service: the log of its requests, drift, quality, alerts; without torch."""
