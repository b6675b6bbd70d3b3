"""Data sets laid out for other tools: mmsegmentation and nnU-Net."""
