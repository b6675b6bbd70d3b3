"""Splits of a data set that do not leak: what belongs together, how it is shared out, what leaks now."""
