"""Pretrained weights: from files and hubs into encoders, with a report of what was loaded."""
