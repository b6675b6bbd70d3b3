"""A folder of bundles of which one answers: what was promoted, when, by whom and why; torch-free."""
