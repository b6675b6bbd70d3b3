"""The options of `seglab export`."""

from __future__ import annotations

from typing import Literal

from seglab.core.options import Fraction, Positive
from seglab.inference.options import ViewOptions


class ExportOptions(ViewOptions):
    """What `seglab export` writes, and what it holds the bundle against."""

    run: str
    """Folder of a training, or of a cross-validation, whose folds become one ensemble."""
    output: str | None = None
    """Folder of the bundle; null: `bundle` beside the record of the run. A zip of it is written beside it."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights."""
    split: Literal["auto", "train", "val", "test"] = "auto"
    """Images that the bundle is scored on again; auto: test where it has labels, else val."""
    max_miou_drop: Fraction = 0.005
    """What the bundle may lose of the run's mIoU on the split; int8 is kept only where it loses no more."""
    int8: bool = True
    """Try 8-bit integers too; they are kept where they are inside `max_miou_drop`, and faster here."""
    openvino: bool = False
    """Write OpenVINO's form of the network as well."""
    calibration_images: Positive = 32
    """Training images that the ranges of int8 are measured on."""
    reference_images: Positive = 500
    """Images at most whose statistics are kept, for drift to be measured against."""
    max_pixels: Positive = 100_000_000
    """Larger images are refused before they are decoded."""
    licence: str = "unknown"
    """Of the weights, such as Apache-2.0; noted in the bundle and its card."""
    name: str | None = None
    """Of the model; null: the run's experiment."""
