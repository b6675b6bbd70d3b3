"""Fog and rain over a photograph, as steps of the corruption suite.

kornia has no fog, and its `RandomRain` sets one-pixel lines of the one grey 200/255 whatever lies
behind: darker than a bright sky, white in the night. So the fog is built from kornia's plasma
fractal after Hendrycks & Dietterich (2019), and the rain, which their benchmark does not have, from
streaks that OpenCV draws with soft edges, blended by their opacity.

References:
    Hendrycks and Dietterich (2019): https://arxiv.org/abs/1903.12261
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from kornia.contrib import diamond_square
from numpy.typing import NDArray
from torch import Tensor

from seglab.augment.colour import LUMA

_SKY_QUANTILE = 0.95
_SUBPIXEL_BITS = 4
# Far, middle and near: share of the drops, and length, width and opacity against the middle layer;
# set by eye on street scenes.
_LAYERS = ((1.0, 0.5, 0.4, 0.7), (0.4, 1.0, 0.6, 1.0), (0.04, 2.2, 1.2, 0.8))
_MAX_SLANT_DEGREES = 20.0


@dataclass(frozen=True)
class Fog:
    """One severity of fog.

    Attributes:
        depth: Weight of the fog against the brightest pixel's 1.
        decay: The plasma's "wibble decay": the higher, the smoother.
    """

    depth: float
    decay: float


@dataclass(frozen=True)
class Rain:
    """One severity of rain; pixels and counts are those of a 224x224 image.

    Attributes:
        drops: Streaks in the farthest layer.
        length: Streak length in pixels of the middle layer.
        opacity: Of a streak of the middle layer, 0..1.
        dimming: Share of light that the clouds take, 0..1.
        veil: Share of the scene that mist replaces, 0..1.
    """

    drops: float
    length: float
    opacity: float
    dimming: float
    veil: float


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> Tensor:
    """Return a plasma fractal: cloudy noise, float32 `(H, W)` on the CPU, of mean 0.5 and range 1.

    kornia's diamond-square with roughness `decay ** -2`: in Hendrycks & Dietterich's code the
    amplitude enters the noise twice, so each level has that share of the last one's. Theirs begins
    at 0 instead; then the luck of the draw decides how thick the fog is, not the severity.
    """

    def draw(shape: tuple[int, ...], device: object, dtype: torch.dtype | None) -> Tensor:
        return torch.from_numpy(rng.random(tuple(shape), dtype=np.float32))

    # The map is a crop of a square that has to have room for one cell each way.
    size = (1, 1, max(height, 3), max(width, 3))
    cloud: Tensor = diamond_square(size, roughness=decay**-2, random_fn=draw)[0, 0]
    cloud = cloud[:height, :width]
    spread = (cloud.max() - cloud.min()).clamp_min(torch.finfo(torch.float32).tiny)
    return (cloud - cloud.mean()) / spread + 0.5


def fog(image: Tensor, level: Fog, rng: np.random.Generator) -> Tensor:
    """Lay fog over an image: `(x + depth * plasma) * max / (max + depth)`.

    Args:
        image: float32 `(C, H, W)`, 0..1.
        level: The severity.
        rng: Source of all randomness.

    Returns:
        float32 `(C, H, W)`; the cloud's edges may leave 0..1 a little.
    """
    cloud = plasma(image.shape[1], image.shape[2], level.decay, rng).to(image.device)
    brightest = image.max()
    foggy: Tensor = (image + level.depth * cloud) * brightest / (brightest + level.depth)
    return foggy


def rain(image: Tensor, level: Rain, rng: np.random.Generator) -> Tensor:
    """Let it rain: less light, mist, and three layers of streaks from far to near.

    Mist and streaks have the colour of the scene's light, which is taken to be the luma that 5 % of
    the pixels exceed: white by day, grey by night.

    Args:
        image: float32 `(C, H, W)`, 0..1.
        level: The severity.
        rng: Source of all randomness.

    Returns:
        float32 `(C, H, W)`, 0..1.
    """
    light = _light(image)
    scene = image * (1.0 - level.dimming)
    scene = torch.lerp(scene, (light * (1.0 - level.dimming)).expand_as(scene), level.veil)
    slant = np.deg2rad(rng.uniform(-_MAX_SLANT_DEGREES, _MAX_SLANT_DEGREES))
    for layer in _LAYERS:
        cover = _streaks((image.shape[1], image.shape[2]), level, layer, slant, rng)
        scene = torch.lerp(scene, light.expand_as(scene), cover.to(image.device))
    return scene


def _light(image: Tensor) -> Tensor:
    weights = image.new_tensor(LUMA if len(image) == 3 else [1.0])
    luma = (image * weights[:, None, None]).sum(dim=0)
    # Every fourth pixel each way tells it well enough, and a sort costs.
    return torch.quantile(luma[::4, ::4].flatten(), _SKY_QUANTILE)


def _streaks(
    size: tuple[int, int],
    level: Rain,
    layer: tuple[float, float, float, float],
    slant: float,
    rng: np.random.Generator,
) -> Tensor:
    """Draw one layer; return its cover float32 `(H, W)`, 0..1 on the CPU."""
    share, longer, wider, denser = layer
    height, width = size
    scale = min(size) / 224.0
    count = round(level.drops * share * height * width / min(size) ** 2)
    canvas = np.zeros(size, dtype=np.uint8)
    if count == 0:
        return torch.from_numpy(canvas.astype(np.float32))
    lines = _lines(count, size, level.length * longer * scale, slant, rng)
    thickness = max(1, round(wider * scale))
    # One grey for a group of drops instead of one call a drop.
    for group, grey in zip(np.array_split(lines, 4), (0.4, 0.6, 0.8, 1.0), strict=True):
        value = round(255 * level.opacity * denser * grey)
        cv2.polylines(
            canvas, list(group), False, value, thickness, cv2.LINE_AA, shift=_SUBPIXEL_BITS
        )
    # Softer than a drawn line: drops move and the near ones are out of focus.
    sigma = 0.35 * wider * scale
    soft: NDArray[np.float32] = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), sigma)
    return torch.from_numpy(soft / 255.0)


def _lines(
    count: int, size: tuple[int, int], length: float, slant: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Return line ends `(count, 2, 2)`, x before y, in fixed-point pixels."""
    draws = rng.random((count, 4))
    # Starting above the image too, so that the top edge has as many streaks as the rest.
    start = draws[:, :2] * (size[1] + 2.0 * length, size[0] + length) - length
    angle = slant + np.deg2rad(4.0) * (draws[:, 2] - 0.5)
    span = length * (0.6 + 0.8 * draws[:, 3])
    step = span[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    ends = np.stack([start, start + step], axis=1)
    fixed: NDArray[np.int32] = np.rint(ends * 2**_SUBPIXEL_BITS).astype(np.int32)
    return fixed
