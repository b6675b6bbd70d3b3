"""Models: image float `(B, C, H, W)` in, logits `(B, num_classes, H, W)` out; pure torch."""

from __future__ import annotations

from seglab.models.encoder_weights import LoadReport, load_encoder_weights, read_state_dict
from seglab.models.encoders import EncoderChoice, resolve_encoder
from seglab.models.freezing import find_unused, freeze, unfreeze
from seglab.models.normalization import Normalization
from seglab.models.segmenter import Segmenter
from seglab.models.segnet import SegNet, SegNetBasic
from seglab.models.smp import SmpSegmenter, allowed_options, build_smp

__all__ = [
    "EncoderChoice",
    "LoadReport",
    "Normalization",
    "SegNet",
    "SegNetBasic",
    "Segmenter",
    "SmpSegmenter",
    "allowed_options",
    "build_smp",
    "find_unused",
    "freeze",
    "load_encoder_weights",
    "read_state_dict",
    "resolve_encoder",
    "unfreeze",
]
