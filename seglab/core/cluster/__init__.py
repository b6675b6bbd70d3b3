"""Work as jobs of a cluster."""
