"""The keys under `augment`: the same fields as `seglab.augment.AugmentSpec`, a floor below it.

A test compares names, defaults and limits of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from seglab.config.fields import Bounds, Fraction, Pair, Span


@dataclass
class Geometry:
    """Which part of the source a crop shows, and how it is bent."""

    crop: Literal["random", "center"] = "center"
    hflip: Fraction = 0.0
    vflip: Fraction = 0.0
    scale: Annotated[Pair, Span(0.05, 20)] = (1.0, 1.0)
    aspect: Annotated[Pair, Span(0.2, 5)] = (1.0, 1.0)
    rotate: Annotated[float, Bounds(0, 180)] = 0.0
    shear: Annotated[float, Bounds(0, 45)] = 0.0
    perspective: Annotated[float, Bounds(0, 0.4)] = 0.0
    perspective_p: Fraction = 0.0
    rare_class_crop: Fraction = 0.0


@dataclass
class Colour:
    """Point-wise changes of colour."""

    p: Fraction = 0.0
    brightness: Annotated[float, Bounds(0, 0.95)] = 0.0
    contrast: Annotated[float, Bounds(0, 0.95)] = 0.0
    saturation: Fraction = 0.0
    hue: Annotated[float, Bounds(0, 0.5)] = 0.0
    gamma: Annotated[float, Bounds(0, 4)] = 0.0
    grayscale: Fraction = 0.0


@dataclass
class Blur:
    """Gaussian blur."""

    p: Fraction = 0.0
    sigma: Annotated[Pair, Span(0.05, 20)] = (0.1, 1.5)


@dataclass
class Noise:
    """Additive Gaussian noise."""

    p: Fraction = 0.0
    std: Annotated[Pair, Span(0, 100)] = (2.0, 10.0)


@dataclass
class Jpeg:
    """JPEG compression."""

    p: Fraction = 0.0
    quality: Annotated[Pair, Span(1, 100)] = (40.0, 90.0)


@dataclass
class Erasing:
    """One box replaced by the mean colour, its labels by void."""

    p: Fraction = 0.0
    scale: Annotated[Pair, Span(0.001, 0.9)] = (0.02, 0.1)
    ratio: Annotated[Pair, Span(0.05, 20)] = (0.5, 2.0)


@dataclass
class Mixing:
    """Probabilities of mixing a sample with others of its batch."""

    cutmix: Fraction = 0.0
    classmix: Fraction = 0.0
    mosaic: Fraction = 0.0
    copy_paste: Fraction = 0.0


@dataclass
class AugmentSpec:
    """Everything that may happen to a training sample."""

    backend: Literal["auto", "uint8", "kornia"]
    geometry: Geometry
    colour: Colour
    blur: Blur
    noise: Noise
    jpeg: Jpeg
    erasing: Erasing
    mixing: Mixing
