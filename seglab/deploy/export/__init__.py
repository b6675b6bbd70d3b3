"""A trained run as a bundle, with the proof that it predicts as the run does."""
