"""A package, so that an installed one of the same name does not come before it in child processes."""
