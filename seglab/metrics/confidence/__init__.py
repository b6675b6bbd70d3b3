"""Metrics of probabilities: calibration, and scores over what a model is surest of."""
