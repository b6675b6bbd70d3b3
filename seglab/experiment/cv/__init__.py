"""The folds of a cross-validation: trained side by side, collected, judged together."""
