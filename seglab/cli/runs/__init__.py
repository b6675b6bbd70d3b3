"""Commands about runs: train, evaluate, compare, report."""
