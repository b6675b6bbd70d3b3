"""Scores of boundaries as integer counts per image: what IoU of whole regions hardly sees.

Both scores follow one rule of what a boundary is: pixels of a class beside pixels of another class.
Neither the image's edge nor void is another class; what lies behind them is not known, so pixels of
both maps that are void in the target, or nearer to void than the tolerance, are not counted. Where
void frames every object (Pascal VOC) hardly any boundary is left to score.

A split's score is the mean over images (`seglab.metrics.scores.mean_of_images`), as Csurka et al.
(2013) average F1, and a class that only one of the maps has is 0 in it. Counts must not be pooled
over images: in a pooled score a boundary in the wrong place costs twice, as found where there is none
and as missed where there is one, and an object that is not found at all costs once; then a model
scores higher (0.67 instead of 0.5, with half of the objects badly outlined) for missing objects.

OpenCV does the work: one dilation and one erosion of the label map find the bands of all classes
at once; a dilation with a disc matches contours in a fraction of the time of a distance transform.

References:
    Csurka et al. (2013): https://doi.org/10.5244/C.27.32
    Badrinarayanan et al. (2017): https://arxiv.org/abs/1511.00561
    Cheng et al. (2021): https://arxiv.org/abs/2103.16562
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics.scores import Counts, Floats, divide

Labels = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]
TOLERANCE = 0.0075
_VOID = 0
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)


@dataclass(frozen=True)
class BoundaryCounts:
    """Boundary pixels per class of one image, each int64 `(C,)`.

    Args:
        band_intersection: Pixels in the inner band of the class in both maps.
        band_union: Pixels in the inner band of the class in either map.
        pred_pixels: Contour pixels of the class in the prediction.
        pred_matched: Those of them with a target contour of the class within the tolerance.
        target_pixels: Contour pixels of the class in the target.
        target_matched: Those of them with a predicted contour of the class within the tolerance.
        one_sided: 1 where one map has pixels of the class, away from void, and the other has none.
    """

    band_intersection: Counts
    band_union: Counts
    pred_pixels: Counts
    pred_matched: Counts
    target_pixels: Counts
    target_matched: Counts
    one_sided: Counts


@dataclass(frozen=True)
class Contours:
    """One-pixel contours of all classes in prediction and target.

    Args:
        pred: `(H, W)`; class index + 1 on a contour pixel of the prediction, else 0.
        target: The same for the target.
        counted: bool `(H, W)`; False in void and near it. Contours there are not scored, but may
            match others that are.
        one_sided: bool `(C,)`; where one map has pixels of the class, away from void, and the other
            has none at all: missed or hallucinated in this image.
    """

    pred: Labels
    target: Labels
    counted: Flags
    one_sided: Flags


def boundary_tolerance(height: int, width: int, fraction: float = TOLERANCE) -> float:
    """Return a share of the image's diagonal in pixels, at least 1.

    The default is that of the SegNet paper (Badrinarayanan et al., 2017), 4.5 px at 360 x 480.

    >>> boundary_tolerance(360, 480)
    4.5
    """
    return max(1.0, fraction * math.hypot(height, width))


def boundary_counts(
    pred_mask: npt.ArrayLike,
    mask: npt.ArrayLike,
    num_classes: int,
    ignore_index: int = 255,
    tolerance_px: float | None = None,
) -> BoundaryCounts:
    """Count the boundary pixels of one image, a class each.

    The band is that of Boundary IoU (Cheng et al., 2021): pixels of the class at most
    d = round(tolerance) from another class, by the largest of the two coordinate differences as in
    the authors' code. Unlike there, the image's edge is no boundary. Contours are pixels with a
    direct neighbour of another class; one is matched when a contour of the same class lies within
    the tolerance, Euclidean (boundary F1 of Csurka et al., 2013).

    Args:
        pred_mask: Predicted class indices `(H, W)`, integer, `0..num_classes-1`.
        mask: Target `(H, W)`, integer, classes or `ignore_index`.
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are void; not a class index.
        tolerance_px: Band width and tolerance in pixels, at least 1; None: `boundary_tolerance`.

    Returns:
        Counts, each `(C,)`; all zero for a class without boundary in both maps.

    Raises:
        ShapeError: Shapes differ or are not `(H, W)`, a dtype is not an integer one, or the
            tolerance is less than 1.
        LabelError: A pixel holds a value that is no class.
    """
    pred, target = _label_maps(pred_mask, mask, num_classes, ignore_index)
    tolerance = _tolerance(target.shape, tolerance_px)
    counted = _far_from_void(target, tolerance)
    width = 2 * max(1, round(tolerance)) + 1
    square = np.ones((width, width), dtype=np.uint8)
    pred_band = np.where(_beside_other_class(pred, square) & counted, pred, _VOID)
    target_band = np.where(_beside_other_class(target, square) & counted, target, _VOID)
    both = _pixels(pred_band[pred_band == target_band], num_classes)
    either = _pixels(pred_band, num_classes) + _pixels(target_band, num_classes) - both
    contours = _contours(pred, target, counted, num_classes)
    one_sided = contours.one_sided.astype(np.int64)
    return BoundaryCounts(both, either, *_match(contours, num_classes, tolerance), one_sided)


def boundary_iou(counts: BoundaryCounts) -> Floats:
    """Return Boundary IoU `(C,)` in [0, 1]; NaN for a class with no boundary in either map.

    A class that only one map has is 0, also where it fills that map and so has no boundary.
    """
    return _unless_one_sided(counts, divide(counts.band_intersection, counts.band_union))


def boundary_f1(counts: BoundaryCounts) -> Floats:
    """Return boundary F1 `(C,)` in [0, 1], the harmonic mean of precision and recall.

    NaN for a class with no boundary in either map; 0 for one that has it in one map only, or that
    only one map has.
    """
    precision = divide(counts.pred_matched, counts.pred_pixels)
    recall = divide(counts.target_matched, counts.target_pixels)
    total = np.nan_to_num(precision) + np.nan_to_num(recall)
    product = 2 * np.nan_to_num(precision) * np.nan_to_num(recall)
    f1 = np.divide(product, total, out=np.zeros_like(total), where=total > 0)
    undefined = np.isnan(precision) & np.isnan(recall)
    return _unless_one_sided(counts, np.where(undefined, np.nan, f1))


def _unless_one_sided(counts: BoundaryCounts, scores: Floats) -> Floats:
    return np.where(counts.one_sided > 0, 0.0, scores)


def find_contours(
    pred_mask: npt.ArrayLike,
    mask: npt.ArrayLike,
    num_classes: int,
    ignore_index: int,
    tolerance_px: float,
) -> Contours:
    """Return the contours of all classes of one image; arguments and errors: `boundary_counts`."""
    pred, target = _label_maps(pred_mask, mask, num_classes, ignore_index)
    tolerance = _tolerance(target.shape, tolerance_px)
    return _contours(pred, target, _far_from_void(target, tolerance), num_classes)


def _contours(pred: Labels, target: Labels, counted: Flags, num_classes: int) -> Contours:
    there = [_pixels(labels, num_classes) > 0 for labels in (pred, target)]
    sure = [_pixels(labels[counted], num_classes) > 0 for labels in (pred, target)]
    one_sided = (sure[0] & ~there[1]) | (sure[1] & ~there[0])
    return Contours(_contours_of(pred), _contours_of(target), counted, one_sided)


def _label_maps(
    pred_mask: npt.ArrayLike, mask: npt.ArrayLike, num_classes: int, ignore_index: int
) -> tuple[Labels, Labels]:
    """Return prediction and target with classes as 1..C and void, the same in both, as 0."""
    pred, target = np.asarray(pred_mask), np.asarray(mask)
    if pred.shape != target.shape or target.ndim != 2:
        raise ShapeError(
            f"expected pred_mask and mask of one shape (H, W), got {pred.shape} and {target.shape}; "
            "boundaries are counted one image at a time"
        )
    for name, array in (("pred_mask", pred), ("mask", target)):
        if array.dtype.kind not in "iu":
            raise ShapeError(f"expected {name} of an integer dtype, got {array.dtype}")
    if 0 <= ignore_index < num_classes:
        raise LabelError(
            f"expected ignore_index outside 0..{num_classes - 1}, got {ignore_index}; it must not "
            "be a class"
        )
    dtype = np.uint8 if num_classes < np.iinfo(np.uint8).max else np.uint16
    valid = target != ignore_index
    wrong = 0
    maps: list[Labels] = []
    for labels in (pred, target):
        wrong += int(np.count_nonzero(valid & ((labels < 0) | (labels >= num_classes))))
        # A void value may overflow here; it is replaced at once.
        shifted = np.add(labels.astype(dtype, copy=False), 1, dtype=dtype)
        maps.append(np.where(valid, shifted, _VOID).astype(dtype, copy=False))
    if wrong:
        raise LabelError(
            f"{wrong} pixels hold values that are no class: expected 0..{num_classes - 1}, and in "
            f"the target also ignore_index {ignore_index}"
        )
    return maps[0], maps[1]


def _tolerance(shape: tuple[int, ...], tolerance_px: float | None) -> float:
    if tolerance_px is None:
        return boundary_tolerance(shape[0], shape[1])
    if not tolerance_px >= 1:
        raise ShapeError(f"expected a tolerance of at least 1 pixel, got {tolerance_px}")
    return float(tolerance_px)


def _far_from_void(labels: Labels, tolerance: float) -> Flags:
    void = (labels == _VOID).astype(np.uint8)
    if not void.any():
        return void == 0
    width = 2 * math.ceil(tolerance) + 1
    return np.asarray(cv2.dilate(void, np.ones((width, width), dtype=np.uint8))) == 0


def _beside_other_class(labels: Labels, kernel: npt.NDArray[np.uint8]) -> Flags:
    """Return where another class lies under the kernel; void and outside are none."""
    highest = np.asarray(cv2.dilate(labels, kernel))
    # Void must not be the lowest label. OpenCV leaves out what is outside the image by itself.
    without_void = np.where(labels == _VOID, np.iinfo(labels.dtype).max, labels)
    lowest = np.asarray(cv2.erode(without_void, kernel))
    return np.asarray((labels != _VOID) & ((highest != labels) | (lowest != labels)))


def _contours_of(labels: Labels) -> Labels:
    return np.where(_beside_other_class(labels, _CROSS), labels, _VOID).astype(labels.dtype)


def _match(
    contours: Contours, num_classes: int, tolerance: float
) -> tuple[Counts, Counts, Counts, Counts]:
    """Return contour pixels and matched ones of the prediction, then of the target."""
    reach = int(tolerance)
    steps = np.arange(-reach, reach + 1)
    disc = (steps[:, None] ** 2 + steps[None] ** 2 <= tolerance**2).astype(np.uint8)
    pred = np.where(contours.counted, contours.pred, _VOID)
    target = np.where(contours.counted, contours.target, _VOID)
    counts = [
        _pixels(pred, num_classes),
        np.zeros(num_classes, dtype=np.int64),
        _pixels(target, num_classes),
        np.zeros(num_classes, dtype=np.int64),
    ]
    for index in np.flatnonzero(counts[0] + counts[2]):
        for scored, others, matched in (
            (pred, contours.target, counts[1]),
            (target, contours.pred, counts[3]),
        ):
            near = cv2.dilate((others == index + 1).astype(np.uint8), disc)
            matched[index] = np.count_nonzero(near.view(bool) & (scored == index + 1))
    return counts[0], counts[1], counts[2], counts[3]


def _pixels(labels: Labels, num_classes: int) -> Counts:
    return np.bincount(labels.ravel(), minlength=num_classes + 1)[1:].astype(np.int64)
