"""Data curation: audit, cleaning, annotation quality and review."""
