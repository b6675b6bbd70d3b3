"""`seglab data` for annotators and reviewers."""
