"""What a data set holds: sizes, classes, which of them are too rare, as tables."""
