"""Noise and colour palettes the roadside world is painted with.

Classes share palettes on purpose (grass and leaves; asphalt, walls, gravel and car paint), so that
colour alone does not tell them apart and a model has to learn texture, shape and place.
"""

from __future__ import annotations

import cv2
import numpy as np

Colour = tuple[float, float, float]

# One season colours grass and leaves alike.
SEASONS: dict[str, tuple[Colour, ...]] = {
    "lush": ((0.30, 0.46, 0.16), (0.40, 0.54, 0.20), (0.24, 0.38, 0.15)),
    "summer": ((0.42, 0.47, 0.20), (0.50, 0.50, 0.24), (0.30, 0.40, 0.17)),
    "dry": ((0.62, 0.54, 0.32), (0.52, 0.48, 0.27), (0.44, 0.42, 0.22)),
    "autumn": ((0.58, 0.38, 0.16), (0.50, 0.44, 0.20), (0.45, 0.30, 0.15)),
    "frost": ((0.66, 0.69, 0.68), (0.54, 0.60, 0.54), (0.42, 0.48, 0.42)),
}

# Asphalt, concrete, plaster, brick, gravel, rock, and the paint of half of the vehicles.
MINERALS: tuple[Colour, ...] = (
    (0.36, 0.36, 0.37),
    (0.46, 0.46, 0.45),
    (0.58, 0.56, 0.53),
    (0.70, 0.66, 0.58),
    (0.52, 0.40, 0.32),
    (0.56, 0.34, 0.27),
    (0.42, 0.44, 0.50),
    (0.78, 0.77, 0.74),
)

PAINTS: tuple[Colour, ...] = (
    (0.72, 0.14, 0.12),
    (0.14, 0.26, 0.56),
    (0.88, 0.88, 0.88),
    (0.10, 0.10, 0.12),
    (0.84, 0.62, 0.12),
    (0.20, 0.42, 0.24),
)


def pick(rng: np.random.Generator, palette: tuple[Colour, ...], jitter: float = 0.04) -> np.ndarray:
    """Return one palette colour with some jitter, float32 `(3,)` in 0..1."""
    colour = np.asarray(palette[int(rng.integers(len(palette)))], dtype=np.float32)
    shift = rng.normal(0.0, jitter, 3) * 0.5 + rng.normal(0.0, jitter)
    return np.clip(colour + shift, 0.03, 0.97).astype(np.float32)


def to_u8(colour: np.ndarray, factor: float = 1.0) -> tuple[int, int, int]:
    """Return a 0..1 colour times `factor` as the 0..255 triple OpenCV draws with."""
    red, green, blue = (int(value) for value in np.clip(colour * factor * 255.0, 0, 255))
    return red, green, blue


def tile_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return smooth noise `(size, size)` in 0..1 that tiles without a seam.

    Args:
        rng: Source of randomness.
        size: Side in px.
        cells: Number of noise cells along one side; more cells, finer grain.
    """
    grid = np.pad(rng.random((cells, cells), dtype=np.float32), 2, mode="wrap")
    cell = size / cells
    # Resampling in normalised coordinates keeps the period exact for sizes cells do not divide.
    axis = ((np.arange(size, dtype=np.float32) + 0.5) / cell + 1.5).astype(np.float32)
    map_x, map_y = np.meshgrid(axis, axis)
    return np.clip(cv2.remap(grid, map_x, map_y, cv2.INTER_CUBIC), 0.0, 1.0)


def fractal_noise(
    rng: np.random.Generator, size: int, cells: tuple[int, ...], gain: float = 0.6
) -> np.ndarray:
    """Return octaves of `tile_noise` added up, `(size, size)` float32 stretched to 0..1."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave, count in enumerate(cells):
        total += gain**octave * tile_noise(rng, size, count)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def cut_noise(noise: np.ndarray, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return a `(H, W)` window of a tiling noise at a random place; wraps around its borders."""
    top, left = (int(value) for value in rng.integers(0, noise.shape[0], 2))
    rows = (np.arange(shape[0]) + top) % noise.shape[0]
    columns = (np.arange(shape[1]) + left) % noise.shape[1]
    return noise[np.ix_(rows, columns)]
