"""The arithmetic of crops and warps: small 3x3 matrices and what follows from them.

Convention:
    - A point is (x, y) in pixels, x to the right, y down. The origin is the outer corner of the
      first pixel, so the pixel in row r and column c covers `[c, c + 1) x [r, r + 1)` and has its
      centre at `(c + 0.5, r + 0.5)`: `align_corners=False`. Resizing from width W to V is then
      plain scaling by V / W, and mirroring is `x -> W - x`, without any half pixels.
    - Matrices map points of the destination (the crop) to points of the source, float64, and act on
      columns `(x, y, 1)`.
    - Sizes are (height, width).
    - A destination pixel is valid where its centre falls on the source: `0 <= x < W`, `0 <= y < H`.
      All other pixels are invented: the image is filled there, the mask is void.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Size = tuple[int, int]


def translation(x: float, y: float) -> Matrix:
    """Return the matrix that moves points by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> Matrix:
    """Return the matrix that multiplies coordinates by (x, y)."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def to_mask_matrix(matrix: Matrix, image_hw: Size, mask_hw: Size) -> Matrix:
    """Return the crop -> mask matrix that belongs to a crop -> image matrix.

    The mask shows the same scene at its own size, so only a scaling lies between the two.
    """
    if image_hw == mask_hw:
        return matrix
    return scaling(mask_hw[1] / image_hw[1], mask_hw[0] / image_hw[0]) @ matrix


def to_index_matrix(matrix: Matrix) -> Matrix:
    """Return the matrix for libraries whose pixel centres lie on whole numbers (OpenCV, kornia)."""
    return translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5)


def map_points(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points `(N, 2)` through a matrix, dividing by the third coordinate."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    mapped: NDArray[np.float64] = homogeneous[:, :2] / homogeneous[:, 2:]
    return mapped


def footprint(matrix: Matrix, crop_hw: Size) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of the source region that the crop sees."""
    height, width = crop_hw
    corners = np.array([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]])
    mapped = map_points(matrix, corners)
    (left, top), (right, bottom) = mapped.min(axis=0), mapped.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def is_covered(matrix: Matrix, crop_hw: Size, source_hw: Size) -> bool:
    """Return whether the source covers the whole crop, so that no pixel has to be invented."""
    left, top, right, bottom = footprint(matrix, crop_hw)
    height, width = source_hw
    # 1e-6 px absorbs rounding of the matrix, far below what interpolation resolves.
    return left > -1e-6 and top > -1e-6 and right < width + 1e-6 and bottom < height + 1e-6


def minification(matrix: Matrix, crop_hw: Size) -> float:
    """Return how many source pixels, along one side, fall on the crop pixel in the middle."""
    height, width = crop_hw
    x, y = width / 2, height / 2
    weight = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    # det of the Jacobian of a homography is det(M) / w^3.
    return math.sqrt(abs(float(np.linalg.det(matrix))) / abs(float(weight)) ** 3)


def shrink_factor(matrix: Matrix, crop_hw: Size) -> int:
    """Return the whole factor by which to average the image first; 1 where no aliasing threatens.

    Bilinear sampling looks at 2x2 source pixels: enough up to a minification of 2. Beyond that
    boxes of `factor` x `factor` pixels are averaged, and the bilinear step does the rest.
    """
    return max(1, math.floor(minification(matrix, crop_hw) + 1e-6))


@dataclass(frozen=True)
class PixelCopy:
    """A warp that only moves and mirrors whole pixels.

    Attributes:
        top: Row of the source that is the upper edge of the region, may be negative.
        left: Column of the source that is the left edge of the region, may be negative.
        flip_x: Mirror left-right after cutting.
        flip_y: Mirror upside-down after cutting.
    """

    top: int
    left: int
    flip_x: bool
    flip_y: bool


def find_pixel_copy(matrix: Matrix, crop_hw: Size) -> PixelCopy | None:
    """Return the exact copy a matrix stands for, or None where it must interpolate."""
    if not is_pixel_grid(matrix):
        return None
    flip_x, flip_y = matrix[0, 0] < 0, matrix[1, 1] < 0
    left = matrix[0, 2] - (crop_hw[1] if flip_x else 0)
    top = matrix[1, 2] - (crop_hw[0] if flip_y else 0)
    if left != round(left) or top != round(top):
        return None
    return PixelCopy(int(top), int(left), bool(flip_x), bool(flip_y))


def is_pixel_grid(matrix: Matrix) -> bool:
    """Return whether a matrix neither turns nor stretches: ones or minus ones on the diagonal."""
    linear = np.abs(matrix[:, :2])
    return bool(np.array_equal(linear, np.eye(3)[:, :2]) and matrix[2, 2] == 1.0)
