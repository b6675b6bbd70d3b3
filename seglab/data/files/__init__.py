"""Image and mask files: what is in them, as arrays; knows nothing of manifests."""
