"""What people type and write: Hydra's grammar, ranges of a search, overrides, files and their places."""
