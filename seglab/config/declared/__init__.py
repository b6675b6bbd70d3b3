"""What a configuration may hold: the two applications, the targets, and the check against both."""
