from __future__ import annotations

import numpy as np
import pytest

from seglab.augment import geometry


def test_index_matrix_of_doubling_by_hand() -> None:
    # Crop pixel 0 of a 2x zoom-out covers source pixels 0 and 1: its centre lies at index 0.5.
    index = geometry.to_index_matrix(geometry.scaling(2, 2))
    assert geometry.map_points(index, np.array([[0.0, 0.0], [3.0, 1.0]])).tolist() == [
        [0.5, 0.5],
        [6.5, 2.5],
    ]


def test_mask_matrix_scales_and_is_the_same_for_equal_sizes() -> None:
    matrix = geometry.translation(10, 4)
    assert geometry.to_mask_matrix(matrix, (20, 40), (20, 40)) is matrix
    scaled = geometry.to_mask_matrix(matrix, (20, 40), (40, 20))
    assert geometry.map_points(scaled, np.array([[2.0, 1.0]])).tolist() == [[6.0, 10.0]]


def test_find_pixel_copy_reads_flips_and_offsets() -> None:
    matrix = geometry.translation(10, 3) @ geometry.scaling(-1, 1)
    # x runs from 10 down to 10 - 4 over a crop of width 4.
    assert geometry.find_pixel_copy(matrix, (2, 4)) == geometry.PixelCopy(3, 6, True, False)


@pytest.mark.parametrize(
    "matrix",
    [
        geometry.translation(0.5, 0),
        geometry.scaling(2, 1),
        np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]]),
    ],
)
def test_find_pixel_copy_refuses_what_must_interpolate(matrix: np.ndarray) -> None:
    assert geometry.find_pixel_copy(matrix, (4, 4)) is None


def test_footprint_and_cover() -> None:
    matrix = geometry.translation(1, 2) @ geometry.scaling(2, 3)
    assert geometry.footprint(matrix, (2, 4)) == (1.0, 2.0, 9.0, 8.0)
    assert geometry.is_covered(matrix, (2, 4), (8, 9))
    assert not geometry.is_covered(matrix, (2, 4), (8, 8))


def test_minification_matches_finite_differences() -> None:
    matrix = np.array([[1.7, 0.2, 3.0], [-0.1, 2.1, 1.0], [0.002, -0.003, 1.0]])
    crop_hw = (30, 40)
    middle, step = np.array([20.0, 15.0]), 1e-5
    points = middle + np.array([[0, 0], [step, 0], [0, step]])
    origin, right, down = geometry.map_points(matrix, points)
    jacobian = np.stack([(right - origin), (down - origin)]) / step
    expected = np.sqrt(abs(np.linalg.det(jacobian)))
    assert geometry.minification(matrix, crop_hw) == pytest.approx(expected, rel=1e-4)
    assert geometry.shrink_factor(matrix, crop_hw) == int(expected)
    assert geometry.shrink_factor(geometry.scaling(0.25, 0.25), crop_hw) == 1
