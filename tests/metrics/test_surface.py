"""Surface distances: shifted squares by hand, SciPy's distance transform, and why no library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchmetrics.functional.segmentation import hausdorff_distance

from seglab.core.errors import DataError, ShapeError
from seglab.metrics.shape.boundary import boundary_counts
from seglab.metrics.shape.surface import (
    SurfaceScores,
    SurfaceSummary,
    summarise_surfaces,
    surface_scores,
)


def square(left: int, size: int = 6, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[6 : 6 + size, left : left + size] = 1
    return mask


def test_equal_masks_are_perfect() -> None:
    scores = surface_scores(square(10), square(10), 3, tolerance_px=1)
    assert scores.hd95.tolist()[:2] == [0, 0]
    assert scores.surface_dice.tolist()[:2] == [1, 1]
    assert np.isnan([scores.hd95[2], scores.surface_dice[2]]).all()
    assert scores.missed.tolist() == [False, False, False]


def test_shifted_square_by_hand() -> None:
    scores = surface_scores(square(13), square(10), 2, tolerance_px=2)
    # Of the prediction's 20 contour pixels (columns 13..18) the six of column 18 are 3 px from
    # column 15, the rest less: the 95th percentile of 20 values lies among the six.
    assert scores.hd95[1] == 3
    # Within 2 px: 14 of 20 on both sides (see the boundary test).
    assert scores.surface_dice[1] == pytest.approx(28 / 40)
    assert surface_scores(square(13), square(10), 2, tolerance_px=3).surface_dice[1] == 1


def test_the_worst_twentieth_is_left_out() -> None:
    target, pred = np.zeros((2, 40, 200), dtype=np.uint8)
    target[:20], pred[:20] = 1, 1
    pred[:25, 100] = 1  # a spike, five pixels long
    scores = surface_scores(pred, target, 2, tolerance_px=1)
    # 207 contour pixels of class 1 in the prediction, of which six are on the spike.
    assert scores.hd95[1] == 0
    pred[:30, 90:110] = 1
    assert surface_scores(pred, target, 2, tolerance_px=1).hd95[1] > 5


def test_percentile_between_two_values() -> None:
    target, pred = np.zeros((2, 9, 30), dtype=np.uint8)
    target[4, 5] = 1
    pred[4, 5] = pred[4, 15] = 1
    # Distances 0 and 10 one way, 0 the other: the linear 95th percentile is 9.5.
    assert surface_scores(pred, target, 2, tolerance_px=1).hd95[1] == pytest.approx(9.5)
    assert surface_scores(pred, target, 2, tolerance_px=1).surface_dice[1] == pytest.approx(2 / 3)


def test_a_class_on_one_side_only_is_missed() -> None:
    nothing = np.zeros((20, 30), np.uint8)
    for pred, target in ((nothing, square(10)), (square(10), nothing)):
        scores = surface_scores(pred, target, 2, tolerance_px=2)
        assert scores.hd95.tolist() == [math.hypot(20, 30)] * 2
        assert scores.surface_dice.tolist() == [0, 0]
        assert scores.missed.tolist() == [True, True]


def test_a_class_that_fills_one_map_is_missed_though_it_has_no_contour() -> None:
    scores = surface_scores(np.ones((20, 30), np.uint8), np.zeros((20, 30), np.uint8), 3)
    assert scores.hd95 == pytest.approx([math.hypot(20, 30)] * 2 + [np.nan], nan_ok=True)
    assert scores.surface_dice == pytest.approx([0, 0, np.nan], nan_ok=True)
    # Both maps have the class: without a contour there is nothing to measure.
    assert np.isnan(surface_scores(np.ones((9, 9), int), np.ones((9, 9), int), 2).hd95).all()


def test_the_mean_does_not_fall_as_objects_are_missed() -> None:
    """Ten images of one object; the five found badly (12 px off, the others 2) are missed or not."""

    def mean_of(pred_masks: list[np.ndarray]) -> SurfaceSummary:
        target = square(4, shape=(30, 40))
        return summarise_surfaces([surface_scores(pred, target, 2) for pred in pred_masks])

    well, badly = square(6, shape=(30, 40)), square(16, shape=(30, 40))
    found = mean_of([well] * 5 + [badly] * 5)
    missed = mean_of([well] * 5 + [np.zeros_like(well)] * 5)
    assert (found.hd95_per_class[1], found.missed) == (7.0, 0)
    # Over the objects that were found it would be 2; a missed one counts the diagonal, 50.
    assert (missed.hd95_per_class[1], missed.missed_per_class[1]) == (26.0, 5)
    assert missed.penalty == 50.0
    assert missed.surface_dice_per_class[1] <= found.surface_dice_per_class[1]


def test_void_hides_contours_but_lets_them_match() -> None:
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[:, 20:] = 1
    mask[:6] = 255
    pred = np.zeros_like(mask)
    pred[:, 23:] = 1
    scores = surface_scores(pred, mask, 2, tolerance_px=2)
    assert scores.hd95.tolist() == [3, 3]
    all_void = np.full_like(mask, 255)
    nothing = surface_scores(pred, all_void, 2, tolerance_px=2)
    assert np.isnan(nothing.hd95).all()
    assert np.isnan(nothing.surface_dice).all()
    assert not nothing.missed.any()


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_agrees_with_distance_transforms(seed: int) -> None:
    random = np.random.default_rng(seed)
    pred, mask = (
        np.kron(one, np.ones((4, 3), dtype=np.uint8))
        for one in random.integers(0, 3, (2, 5, 6)).astype(np.uint8)
    )
    scores = surface_scores(pred, mask, 3, tolerance_px=2)
    counts = boundary_counts(pred, mask, 3, tolerance_px=2)
    cross = ndimage.generate_binary_structure(2, 1)
    for index in range(3):
        edges = [
            (labels == index) & ~ndimage.binary_erosion(labels == index, cross, border_value=1)
            for labels in (pred, mask)
        ]
        if not all(edge.any() for edge in edges):
            assert scores.hd95[index] == pytest.approx(math.hypot(20, 18))
            assert scores.missed[index]
            continue
        distances = [
            ndimage.distance_transform_edt(~edges[1 - side])[edges[side]] for side in (0, 1)
        ]
        expected = max(np.percentile(one, 95) for one in distances)
        assert scores.hd95[index] == pytest.approx(expected)
        matched = counts.pred_matched[index] + counts.target_matched[index]
        pixels = counts.pred_pixels[index] + counts.target_pixels[index]
        assert scores.surface_dice[index] == pytest.approx(matched / pixels)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_is_symmetric(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 3, (2, 9, 14))
    there, back = surface_scores(one, other, 3), surface_scores(other, one, 3)
    np.testing.assert_array_equal(there.hd95, back.hd95)
    np.testing.assert_array_equal(there.surface_dice, back.surface_dice)


def test_summary_leaves_out_the_undefined_and_counts_the_missed() -> None:
    nan = float("nan")
    images = [
        SurfaceScores(
            np.array([2.0, 10.0, nan]),
            np.array([0.5, 0.0, nan]),
            np.array([False, True, False]),
            10.0,
        ),
        SurfaceScores(
            np.array([4.0, 6.0, nan]),
            np.array([1.0, 0.5, nan]),
            np.array([False, False, False]),
            20.0,
        ),
    ]
    summary = summarise_surfaces(images)
    assert summary.hd95_per_class == pytest.approx([3, 8, nan], nan_ok=True)
    assert summary.surface_dice_per_class == pytest.approx([0.75, 0.25, nan], nan_ok=True)
    assert (summary.hd95, summary.surface_dice) == (5.5, 0.5)
    assert (summary.missed, summary.penalty) == (1, 15.0)
    assert summary.missed_per_class.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="at least one image"):
        summarise_surfaces([])


def test_wrong_input_is_explained() -> None:
    with pytest.raises(ShapeError, match=r"one shape \(H, W\)"):
        surface_scores(np.zeros((4, 4), int), np.zeros((4, 5), int), 2)
    with pytest.raises(ShapeError, match="at least 1 pixel"):
        surface_scores(np.zeros((4, 4), int), np.zeros((4, 4), int), 2, tolerance_px=0)


@pytest.mark.skipif(not torchmetrics.__version__.startswith("1.9."), reason="not the one tried")
def test_torchmetrics_is_wrong_where_height_and_width_differ() -> None:
    """Why `seglab.metrics.shape.surface` measures by itself."""

    def by_torchmetrics(shape: tuple[int, int]) -> float:
        masks = [torch.from_numpy(square(left, 4, shape)).bool()[None, None] for left in (3, 6)]
        return float(hausdorff_distance(*masks, 1, include_background=True))

    assert by_torchmetrics((20, 20)) == 3
    assert by_torchmetrics((12, 40)) != 3
