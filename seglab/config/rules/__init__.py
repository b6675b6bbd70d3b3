"""Rules across keys, and values that follow from others."""
