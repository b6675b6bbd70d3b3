"""What is settled before the first step: folds, bands, first weights, batch size, record."""
