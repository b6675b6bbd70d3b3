"""Inference: images in, logits at the size of the mask out, and their argmax."""

from seglab.inference.geometry import crop_padding, pad_to_multiple, resize_logits
from seglab.inference.predict import argmax_mask, predict_logits

__all__ = ["argmax_mask", "crop_padding", "pad_to_multiple", "predict_logits", "resize_logits"]
