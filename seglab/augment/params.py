"""What happens to one sample, drawn once by a pure function and then only applied.

Drawing needs nothing but NumPy and the sizes, so workers, devices and tests see the same
augmentation for the same seed, whichever back end applies it.
"""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglab.augment import geometry
from seglab.augment.geometry import Matrix, Size
from seglab.augment.options import AugmentSpec, ColourSpec, ErasingSpec, GeometrySpec, Pair
from seglab.core.errors import ShapeError
from seglab.core.labels import DEFAULT_IGNORE_INDEX

# Side of the square bank of normal values that noise is cut from, see seglab.augment.colour.
NOISE_BANK = 512
# The class of a rare-class crop is looked up on every fourth row and column: 1/16 of the cost.
_STRIDE = 4

Box = tuple[int, int, int, int]


# Uniform values in 0..1, one for each thing that is decided.
_GeometryDraws = namedtuple(
    "_GeometryDraws",
    "hflip vflip scale aspect rotate shear perspective_p perspective_x perspective_y "
    "position_x position_y rare_p rare_class rare_pixel rare_phase focus_x focus_y",
)
_ColourDraws = namedtuple("_ColourDraws", "p brightness contrast gamma saturation hue grayscale")
_EffectDraws = namedtuple(
    "_EffectDraws",
    "erase_p erase_area erase_ratio erase_x erase_y blur_p blur_sigma noise_p noise_std "
    "noise_x noise_y jpeg_p jpeg_quality",
)


@dataclass(frozen=True)
class ColourParams:
    """Factors of the colour change; every default leaves the image as it is.

    Attributes:
        brightness: Factor on the value.
        contrast: Factor on the distance from the mean luma of the source, after brightness.
        gamma: Exponent on the value in 0..1, after contrast.
        saturation: Factor on the distance from grey; 0 drops the colour.
        hue: Turn of the hue as a fraction of the circle, red towards yellow where positive.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


@dataclass(frozen=True, eq=False)
class AugmentParams:
    """One drawn augmentation.

    Applied in this order: warp, erasing, colour, blur, noise, JPEG.

    Attributes:
        matrix: float64 `(3, 3)`, crop -> image in pixels; conventions in `seglab.augment.geometry`.
        image_hw: (H, W) of the image the matrix was drawn for.
        crop_hw: (H, W) of the result.
        erase: Boxes (top, left, bottom, right) in pixels of the crop, lower ends exclusive.
        colour: Colour change, or None.
        blur_sigma: Standard deviation in pixels of the crop; 0 means no blur.
        noise_std: Standard deviation in grey levels; 0 means no noise.
        noise_offset: (row, column) where the noise starts in the bank.
        jpeg_quality: 1..100; 0 means no compression.
    """

    matrix: Matrix
    image_hw: Size
    crop_hw: Size
    erase: tuple[Box, ...] = ()
    colour: ColourParams | None = None
    blur_sigma: float = 0.0
    noise_std: float = 0.0
    noise_offset: tuple[int, int] = (0, 0)
    jpeg_quality: int = 0


def sample_params(
    spec: AugmentSpec,
    rng: np.random.Generator,
    image_hw: Size,
    crop_hw: Size,
    mask: NDArray[np.uint8] | None = None,
    ignore_index: int = DEFAULT_IGNORE_INDEX,
) -> AugmentParams:
    """Draw one augmentation.

    Geometry, colour and effects each take a fixed number of random values, so changing the strength
    of one does not change what the others draw from the same seed.

    Args:
        spec: Limits and probabilities.
        rng: Source of all randomness; use a fresh one per sample (`seglab.core.seeding.generator`).
        image_hw: (H, W) of the source image.
        crop_hw: (H, W) of the result.
        mask: `(Hm, Wm)` class indices at any size; only needed for `geometry.rare_class_crop`,
            which has no effect without it or on a mask that is all void.
        ignore_index: Void value in `mask`.

    Raises:
        ShapeError: A size is not positive.
    """
    if min(*image_hw, *crop_hw) < 1:
        raise ShapeError(f"sizes must be positive, got image {image_hw} and crop {crop_hw}")
    place = _GeometryDraws(*rng.random(len(_GeometryDraws._fields)).tolist())
    shade = _ColourDraws(*rng.random(len(_ColourDraws._fields)).tolist())
    draw = _EffectDraws(*rng.random(len(_EffectDraws._fields)).tolist())
    focus = None
    if mask is not None and place.rare_p < spec.geometry.rare_class_crop:
        focus = _find_rare_pixel(mask, ignore_index, place)
    blurred, noisy = draw.blur_p < spec.blur.p, draw.noise_p < spec.noise.p
    compressed = draw.jpeg_p < spec.jpeg.p
    return AugmentParams(
        matrix=_draw_matrix(spec.geometry, place, image_hw, crop_hw, focus),
        image_hw=image_hw,
        crop_hw=crop_hw,
        erase=_draw_erasing(spec.erasing, draw, crop_hw),
        colour=_draw_colour(spec.colour, shade),
        blur_sigma=_log_between(spec.blur.sigma, draw.blur_sigma) if blurred else 0.0,
        noise_std=_between(spec.noise.std, draw.noise_std) if noisy else 0.0,
        noise_offset=(int(draw.noise_y * NOISE_BANK), int(draw.noise_x * NOISE_BANK)),
        jpeg_quality=round(_between(spec.jpeg.quality, draw.jpeg_quality)) if compressed else 0,
    )


def _between(limits: Pair, draw: float) -> float:
    return float(limits[0] + draw * (limits[1] - limits[0]))


def _around(centre: float, reach: float, draw: float) -> float:
    return _between((centre - reach, centre + reach), draw)


def _log_between(limits: Pair, draw: float) -> float:
    if limits[0] == limits[1]:
        return float(limits[0])
    return math.exp(_between((math.log(limits[0]), math.log(limits[1])), draw))


def _draw_matrix(
    spec: GeometrySpec,
    draws: _GeometryDraws,
    image_hw: Size,
    crop_hw: Size,
    focus: tuple[float, float] | None,
) -> Matrix:
    """Compose crop -> image: centre the crop, tilt, mirror, turn and stretch it, then place it.

    `focus` is a point to show, relative to the image (0..1); None places the crop freely.
    """
    height, width = crop_hw
    centred = _draw_shape(spec, draws, crop_hw) @ geometry.translation(-width / 2, -height / 2)
    left, top, right, bottom = geometry.footprint(centred, crop_hw)
    # Moves that keep the crop inside the image, or the image inside the crop where that is larger.
    limits = ((-left, image_hw[1] - right), (-top, image_hw[0] - bottom))
    whole = geometry.is_pixel_grid(centred)
    if spec.crop == "center":
        x, y = (_place_at(limit, 0.5, whole) for limit in limits)
    elif focus is not None:
        # Not at the rim of the crop: the class should come with its surroundings.
        spot = np.array(
            [
                [
                    width * _between((0.1, 0.9), draws.focus_x),
                    height * _between((0.1, 0.9), draws.focus_y),
                ]
            ]
        )
        reached = geometry.map_points(centred, spot)[0]
        x = _place_near(limits[0], focus[0] * image_hw[1] - reached[0], whole)
        y = _place_near(limits[1], focus[1] * image_hw[0] - reached[1], whole)
    else:
        x = _place_at(limits[0], draws.position_x, whole)
        y = _place_at(limits[1], draws.position_y, whole)
    return geometry.translation(x, y) @ centred


def _place_at(limits: Pair, fraction: float, whole: bool) -> float:
    """Return the move at `fraction` of the limits; `whole` steps by pixels, blending nothing."""
    low, high = min(limits), max(limits)
    if not whole:
        return low + fraction * (high - low)
    # For a fraction of 0.5 this is the middle, rounded down.
    steps = high - low
    return low + (steps // 2 if fraction == 0.5 else math.floor(fraction * (steps + 1)))


def _place_near(limits: Pair, target: float, whole: bool) -> float:
    low, high = min(limits), max(limits)
    move = min(max(target, low), high)
    return low + round(move - low) if whole else move


def _draw_shape(spec: GeometrySpec, draws: _GeometryDraws, crop_hw: Size) -> Matrix:
    """Return the warp about the origin: everything except the position of the crop."""
    zoom, aspect = _log_between(spec.scale, draws.scale), _log_between(spec.aspect, draws.aspect)
    angle = math.radians(_around(0.0, spec.rotate, draws.rotate))
    slant = math.tan(math.radians(_around(0.0, spec.shear, draws.shear)))
    tilt = np.eye(3)
    if draws.perspective_p < spec.perspective_p:
        # Half for each axis: the weight then stays within 1 +- perspective on the whole crop.
        tilt[2, 0] = _around(0.0, spec.perspective / crop_hw[1], draws.perspective_x)
        tilt[2, 1] = _around(0.0, spec.perspective / crop_hw[0], draws.perspective_y)
    mirror = geometry.scaling(
        -1.0 if draws.hflip < spec.hflip else 1.0, -1.0 if draws.vflip < spec.vflip else 1.0
    )
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    shear = np.array([[1.0, slant, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    stretch = geometry.scaling(1 / (zoom * math.sqrt(aspect)), math.sqrt(aspect) / zoom)
    shape: Matrix = stretch @ shear @ turn @ mirror @ tilt
    return shape


def _find_rare_pixel(
    mask: NDArray[np.uint8], ignore_index: int, draws: _GeometryDraws
) -> tuple[float, float] | None:
    """Return (x, y), 0..1 of the mask, of a pixel of a class drawn evenly from those present."""
    phase = int(draws.rare_phase * _STRIDE)
    part = mask[phase::_STRIDE, phase::_STRIDE]
    counts = np.bincount(part.ravel(), minlength=256)
    counts[ignore_index] = 0
    present = np.flatnonzero(counts)
    if present.size == 0:
        return None
    chosen = present[int(draws.rare_class * present.size)]
    spots = np.flatnonzero(part == chosen)
    row, column = divmod(int(spots[int(draws.rare_pixel * spots.size)]), part.shape[1])
    x = (phase + column * _STRIDE + 0.5) / mask.shape[1]
    y = (phase + row * _STRIDE + 0.5) / mask.shape[0]
    return x, y


def _draw_colour(spec: ColourSpec, draws: _ColourDraws) -> ColourParams | None:
    if draws.p >= spec.p:
        return None
    grey = draws.grayscale < spec.grayscale
    return ColourParams(
        brightness=_around(1.0, spec.brightness, draws.brightness),
        contrast=_around(1.0, spec.contrast, draws.contrast),
        gamma=_log_between((1 / (1 + spec.gamma), 1 + spec.gamma), draws.gamma),
        saturation=0.0 if grey else _around(1.0, spec.saturation, draws.saturation),
        hue=_around(0.0, spec.hue, draws.hue),
    )


def _draw_erasing(spec: ErasingSpec, draws: _EffectDraws, crop_hw: Size) -> tuple[Box, ...]:
    if draws.erase_p >= spec.p:
        return ()
    area = _between(spec.scale, draws.erase_area) * crop_hw[0] * crop_hw[1]
    ratio = _log_between(spec.ratio, draws.erase_ratio)
    height = min(max(1, round(math.sqrt(area * ratio))), crop_hw[0])
    width = min(max(1, round(math.sqrt(area / ratio))), crop_hw[1])
    top = math.floor(draws.erase_y * (crop_hw[0] - height + 1))
    left = math.floor(draws.erase_x * (crop_hw[1] - width + 1))
    return ((top, left, top + height, left + width),)
