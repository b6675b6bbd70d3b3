"""From a run to production: export to a bundle that proves itself, and predictions from it."""
