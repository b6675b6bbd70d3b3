"""Boundary counts: squares computed by hand, a plain reference, void and the image's edge."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics.scores import mean_of_images
from seglab.metrics.shape.boundary import (
    BoundaryCounts,
    boundary_counts,
    boundary_f1,
    boundary_iou,
    boundary_tolerance,
)


def square(left: int, size: int = 6, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[6 : 6 + size, left : left + size] = 1
    return mask


def test_equal_masks_match_in_every_pixel() -> None:
    counts = boundary_counts(square(10), square(10), 3, tolerance_px=1)
    # The contour of a 6 x 6 square has 20 pixels; around it lie 4 x 6 pixels of class 0.
    assert counts.target_pixels.tolist() == [24, 20, 0]
    assert counts.pred_matched.tolist() == counts.target_matched.tolist() == [24, 20, 0]
    # The band of class 0 has the four corners too: their diagonal neighbour is of the square.
    assert counts.band_intersection.tolist() == counts.band_union.tolist() == [28, 20, 0]
    assert boundary_iou(counts) == pytest.approx([1, 1, np.nan], nan_ok=True)
    assert boundary_f1(counts) == pytest.approx([1, 1, np.nan], nan_ok=True)


def test_shifted_square_by_hand() -> None:
    counts = boundary_counts(square(13), square(10), 2, tolerance_px=2)
    # Bands two pixels wide: 36 - 4 of each square; columns 13..15 are in both squares, and there
    # both bands hold rows 6, 7, 10, 11 (12 pixels) and in rows 8, 9 columns 13 of the prediction
    # and 14 (both hold 14), 15 of the target: 2 pixels.
    assert counts.band_intersection[1] == 12 + 2
    assert counts.band_union[1] == 32 + 32 - 14
    # Contours three apart: of the 20 pixels of the prediction the top and bottom ones in columns
    # 13..17 are within 2 px of the target's top and bottom row or right side (column 15) ...
    assert counts.pred_pixels[1] == 20
    # ... and those of its left side (column 13, rows 7..10) of column 15.
    assert counts.pred_matched[1] == 2 * 5 + 4
    assert counts.target_matched[1] == 14
    assert boundary_f1(counts)[1] == pytest.approx(0.7)


def test_tolerance_is_euclidean_and_inclusive() -> None:
    target, pred = np.zeros((2, 20, 20), dtype=np.uint8)
    target[5, 5] = 1
    pred[8, 9] = 1
    assert boundary_counts(pred, target, 2, tolerance_px=4.9).pred_matched[1] == 0
    assert boundary_counts(pred, target, 2, tolerance_px=5.0).pred_matched[1] == 1


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_agrees_with_a_plain_reference(seed: int, tolerance: int) -> None:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 4, (2, 4, 5)).astype(np.uint8)
    coarse[1][random.random((4, 5)) < 0.1] = 255
    pred, mask = (np.kron(one, np.ones((4, 3), dtype=np.uint8)) for one in coarse)
    counts = boundary_counts(pred, mask, 4, tolerance_px=tolerance)
    expected = plain_reference(pred, mask, 4, tolerance)
    for name, values in expected.items():
        assert getattr(counts, name).tolist() == values, name


def plain_reference(pred: np.ndarray, mask: np.ndarray, classes: int, tolerance: int) -> dict:
    """The definition in loops, pixel by pixel."""
    height, width = mask.shape
    pixels = [(row, column) for row in range(height) for column in range(width)]
    void = mask == 255
    pred, mask = np.where(void, -1, pred.astype(int)), np.where(void, -1, mask.astype(int))
    chess = {
        a: [b for b in pixels if max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= tolerance]
        for a in pixels
    }
    counted = {a for a in pixels if not any(void[b] for b in chess[a])}

    def band(labels: np.ndarray, index: int) -> set:
        return {
            a
            for a in counted
            if labels[a] == index and any(labels[b] not in (-1, index) for b in chess[a])
        }

    def contour(labels: np.ndarray, index: int) -> list:
        near = lambda a: [b for b in chess[a] if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1]  # noqa: E731
        return [
            a
            for a in pixels
            if labels[a] == index and any(labels[b] not in (-1, index) for b in near(a))
        ]

    def matched(own: list, other: list) -> int:
        return sum(any(np.hypot(a[0] - b[0], a[1] - b[1]) <= tolerance for b in other) for a in own)

    def one_sided(one: np.ndarray, other: np.ndarray, index: int) -> bool:
        return any(one[a] == index for a in counted) and not (other == index).any()

    rows = []
    for index in range(classes):
        bands = band(pred, index), band(mask, index)
        all_of = contour(pred, index), contour(mask, index)
        own = [[a for a in side if a in counted] for side in all_of]
        rows.append(
            (
                len(bands[0] & bands[1]),
                len(bands[0] | bands[1]),
                len(own[0]),
                matched(own[0], all_of[1]),
                len(own[1]),
                matched(own[1], all_of[0]),
                int(one_sided(pred, mask, index) or one_sided(mask, pred, index)),
            )
        )
    names = BoundaryCounts.__dataclass_fields__
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def test_band_is_that_of_the_papers_code_inside_the_image() -> None:
    """Iterated 3 x 3 erosion of the binary mask, as Cheng et al. (2021) publish it."""
    target, pred = np.zeros((2, 60, 80), dtype=np.uint8)
    cv2.circle(target, (38, 30), 17, 1, -1)
    cv2.circle(pred, (42, 28), 15, 1, -1)
    bands = [
        mask - cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=4) for mask in (pred, target)
    ]
    counts = boundary_counts(pred, target, 2, tolerance_px=4.4)
    assert counts.band_intersection[1] == (bands[0] & bands[1]).sum()
    assert counts.band_union[1] == (bands[0] | bands[1]).sum()


def test_a_border_to_void_is_no_boundary() -> None:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[:, 15:] = 255
    counts = boundary_counts(np.zeros_like(mask), mask, 2, tolerance_px=3)
    assert counts.target_pixels.sum() == counts.band_union.sum() == 0
    assert np.isnan(boundary_iou(counts)).all()
    assert np.isnan(boundary_f1(counts)).all()


def test_predictions_in_and_near_void_do_not_count() -> None:
    mask = np.zeros((20, 40), dtype=np.uint8)
    mask[:, 20:] = 255
    pred = np.zeros_like(mask)
    pred[:, 30:] = 1  # in void
    pred[:, 18:20] = 1  # touches void
    assert boundary_counts(pred, mask, 2, tolerance_px=3).pred_pixels.tolist() == [0, 0]
    pred[5:9, 5:9] = 1  # far from void
    assert boundary_counts(pred, mask, 2, tolerance_px=3).pred_pixels.tolist() == [16, 12]


def test_void_cuts_a_contour_only_near_itself() -> None:
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[20:] = 1
    mask[18:22, 10] = 255
    counts = boundary_counts(np.where(mask == 255, 0, mask), mask, 2, tolerance_px=2)
    assert counts.target_pixels.tolist() == [35, 35]
    assert counts.target_matched.tolist() == [35, 35]


def test_the_edge_of_the_image_is_no_boundary() -> None:
    mask = np.ones((12, 18), dtype=np.uint8)
    assert boundary_counts(mask, mask, 2, tolerance_px=2).band_union.tolist() == [0, 0]


def test_class_in_one_map_only_is_zero() -> None:
    counts = boundary_counts(np.zeros((20, 30), np.uint8), square(10), 2, tolerance_px=2)
    assert boundary_f1(counts).tolist() == [0, 0]
    assert boundary_iou(counts).tolist() == [0, 0]


def test_a_class_that_fills_one_map_is_zero_though_it_has_no_boundary() -> None:
    counts = boundary_counts(np.ones((9, 12), int), np.zeros((9, 12), int), 3)
    assert counts.one_sided.tolist() == [1, 1, 0]
    for score in (boundary_f1, boundary_iou):
        assert score(counts) == pytest.approx([0, 0, np.nan], nan_ok=True)


def test_void_hides_whether_a_class_is_there() -> None:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[:, :3] = 1
    mask[:, 3:9] = 255
    # All pixels of class 1 are nearer to void than the tolerance.
    counts = boundary_counts(np.zeros_like(mask), mask, 2, tolerance_px=4)
    assert counts.one_sided.tolist() == [0, 0]
    assert boundary_counts(np.zeros_like(mask), mask, 2, tolerance_px=2).one_sided[1] == 1


def test_the_mean_of_images_does_not_rise_as_objects_are_missed() -> None:
    target, far = square(4), square(16)
    counts = {
        name: boundary_counts(pred, target, 2, tolerance_px=1)
        for name, pred in (("well", target), ("badly", far), ("not", np.zeros_like(target)))
    }
    for score in (boundary_f1, boundary_iou):
        rows = {name: score(one) for name, one in counts.items()}
        found, missed = (mean_of_images([rows["well"], rows[other]]) for other in ("badly", "not"))
        assert found.tolist() == missed.tolist()
        assert found[1] == 0.5


@pytest.mark.parametrize(("classes", "ignore"), [(300, 65535), (255, 255), (3, -1)])
def test_any_number_of_classes_and_ignored_value(classes: int, ignore: int) -> None:
    mask = square(10).astype(np.int64) * (classes - 1)
    pred = mask.copy()
    mask[0, 0] = ignore
    counts = boundary_counts(pred, mask, classes, ignore, tolerance_px=1)
    assert counts.pred_matched[classes - 1] == 20
    assert counts.target_pixels.sum() == 44


def test_default_tolerance_follows_the_diagonal() -> None:
    assert boundary_tolerance(360, 480) == 4.5
    assert boundary_tolerance(720, 960) == 9
    assert boundary_tolerance(8, 8) == 1
    assert boundary_tolerance(300, 400, fraction=0.02) == 10


def test_wrong_input_is_explained() -> None:
    with pytest.raises(ShapeError, match=r"one shape \(H, W\), got \(4, 4\) and \(4, 5\)"):
        boundary_counts(np.zeros((4, 4), int), np.zeros((4, 5), int), 2)
    with pytest.raises(ShapeError, match="pred_mask of an integer dtype, got float64"):
        boundary_counts(np.zeros((4, 4)), np.zeros((4, 4), int), 2)
    with pytest.raises(
        LabelError, match=r"16 pixels hold values that are no class: expected 0\.\.1"
    ):
        boundary_counts(np.full((4, 4), 2), np.zeros((4, 4), int), 2)
    with pytest.raises(LabelError, match=r"ignore_index outside 0\.\.1"):
        boundary_counts(np.zeros((4, 4), int), np.zeros((4, 4), int), 2, ignore_index=1)
    with pytest.raises(ShapeError, match="at least 1 pixel"):
        boundary_counts(np.zeros((4, 4), int), np.zeros((4, 4), int), 2, tolerance_px=0.5)


def test_is_fast_enough_to_run_on_every_image() -> None:
    random = np.random.default_rng(0)
    noise = [
        cv2.GaussianBlur(random.standard_normal((360, 480)).astype(np.float32), (0, 0), 18)
        for _ in range(11)
    ]
    mask = np.argmax(noise, axis=0).astype(np.uint8)
    pred = np.roll(mask, 3, axis=1)
    durations = []
    for _ in range(5):
        start = time.perf_counter()
        boundary_counts(pred, mask, 11)
        durations.append(time.perf_counter() - start)
    # About 10 ms on one core; the bound leaves room for a busy machine.
    assert min(durations) < 0.1
