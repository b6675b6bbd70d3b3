"""What every room may use: errors, seeds, labels, files, terminal; imports no torch."""
