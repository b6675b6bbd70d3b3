"""A bundle as an HTTP service: batcher, limits, metrics, a page and a client; without torch."""
