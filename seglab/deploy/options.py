"""The options of `seglab export`."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Interval
from pydantic import AfterValidator

from seglab.core.options import FromList, Options, PositiveFloat, ProperFraction, Size
from seglab.inference.options import each_once, some


class ExportOptions(Options):
    """What `seglab export` writes, and what it holds the bundle against."""

    run: str
    """Folder of a training, or of a cross-validation, whose folds become one ensemble."""
    output: str | None = None
    """Folder of the bundle; null: `bundle` beside the record of the run. A zip of it is written beside it."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights."""
    split: Literal["auto", "train", "val", "test"] = "auto"
    """Images that the bundle is scored on again; auto: test where it has labels, else val."""
    flips: Annotated[tuple[Literal["h", "v", "hv"], ...], FromList, AfterValidator(each_once)] = ()
    """Mirrored views, their probabilities averaged: left-right, upside down, both (a half turn)."""
    scales: Annotated[tuple[PositiveFloat, ...], FromList, AfterValidator(some)] = (1.0,)
    """Factors of both sides of rescaled views, likewise."""
    window: Size | None = None
    """Height and width, to go window by window; null: in one piece."""
    overlap: ProperFraction = 0.5
    """Least share of a window that its neighbour sees too."""
    max_miou_drop: Annotated[float, Interval(ge=0, le=1)] = 0.005
    """What the bundle may lose of the run's mIoU on the split; int8 is kept only where it loses no more."""
    int8: bool = True
    """Try 8-bit integers too; they are kept where they are inside `max_miou_drop`, and faster here."""
    openvino: bool = False
    """Write OpenVINO's form of the network as well."""
    calibration_images: Annotated[int, Ge(1)] = 32
    """Training images that the ranges of int8 are measured on."""
    reference_images: Annotated[int, Ge(1)] = 500
    """Images at most whose statistics are kept, for drift to be measured against."""
    max_pixels: Annotated[int, Ge(1)] = 100_000_000
    """Larger images are refused before they are decoded."""
    licence: str = "unknown"
    """Of the weights, such as Apache-2.0; noted in the bundle and its card."""
    name: str | None = None
    """Of the model; null: the run's experiment."""
