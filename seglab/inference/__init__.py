"""Inference: images in, logits at the size of the mask out, and their argmax.

Ways of predicting (whole images, windows, test-time augmentation, ensembles) can be put inside one
another; `cost` measures what a model takes.
"""

from seglab.inference.cost import Cost, count_flops, measure_cost, measure_step
from seglab.inference.ensemble import Ensemble
from seglab.inference.geometry import crop_padding, pad_to_multiple, resize_logits
from seglab.inference.predict import argmax_mask, predict_logits
from seglab.inference.predictor import MeanProbability, Predictor, WholeImage
from seglab.inference.sliding_window import SlidingWindow
from seglab.inference.tta import TestTimeAugmentation

__all__ = [
    "Cost",
    "Ensemble",
    "MeanProbability",
    "Predictor",
    "SlidingWindow",
    "TestTimeAugmentation",
    "WholeImage",
    "argmax_mask",
    "count_flops",
    "crop_padding",
    "measure_cost",
    "measure_step",
    "pad_to_multiple",
    "predict_logits",
    "resize_logits",
]
