"""A trained model as a folder that proves itself: format and loader, without torch."""
