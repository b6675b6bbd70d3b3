"""Distances between contours an image: Hausdorff-95 and surface Dice, as medical imaging has them.

A class that only one of the maps has, missed or hallucinated, has no distance. Left out, the mean
would fall as the model finds less. So it gets the worst value there is, the rule of the BraTS
challenges (374 mm, the diagonal of their volumes, and a Dice of 0) and of Metrics Reloaded
(Maier-Hein et al., 2024): the image's diagonal as its distance, 0 as its surface Dice. How many there
were is a number of its own.

SciPy's k-d tree measures the distances. torchmetrics 1.9 was tried first and is not used: its
`hausdorff_distance` is right on square images only (its distance transform indexes rows by height:
31.1 instead of 3 px on 12 x 40, IndexError on 40 x 14), raises for an absent class, needs memory
that grows with the square of the pixels, and has no 95th percentile and no surface Dice.

References:
    Maier-Hein et al. (2024): https://doi.org/10.1038/s41592-023-02151-z
    Nikolov et al. (2018): https://arxiv.org/abs/1809.04430
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from seglab.core.errors import DataError
from seglab.metrics.scores import Counts, Floats, mean_defined, mean_of_images
from seglab.metrics.shape.boundary import Flags, Labels, boundary_tolerance, find_contours

_PERCENTILE = 95
Points = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SurfaceScores:
    """Scores of one image, each `(C,)`.

    Args:
        hd95: Hausdorff-95 in pixels, at most the image's diagonal, which is that of a class that is
            `missed`; NaN where neither side has a contour of the class.
        surface_dice: In [0, 1], 0 for a class that is `missed`; NaN where neither has a contour.
        missed: bool; whether target or prediction alone has the class, or a contour of it.
        penalty: The image's diagonal in pixels.
    """

    hd95: Floats
    surface_dice: Floats
    missed: Flags
    penalty: float


@dataclass(frozen=True)
class SurfaceSummary:
    """Means over the images of a split.

    Args:
        hd95: Mean over classes of `hd95_per_class`, in pixels.
        surface_dice: Mean over classes of `surface_dice_per_class`.
        missed: Number of (image, class) pairs that got the penalty instead of a distance.
        penalty: Mean of the penalties of the images, their diagonals, in pixels.
        hd95_per_class: `(C,)`, mean over the images where it is defined; NaN where none is.
        surface_dice_per_class: `(C,)`, likewise.
        missed_per_class: int64 `(C,)`.
    """

    hd95: float
    surface_dice: float
    missed: int
    penalty: float
    hd95_per_class: Floats
    surface_dice_per_class: Floats
    missed_per_class: Counts


def surface_scores(
    pred_mask: npt.ArrayLike,
    mask: npt.ArrayLike,
    num_classes: int,
    ignore_index: int = 255,
    tolerance_px: float | None = None,
) -> SurfaceScores:
    """Return Hausdorff-95 and surface Dice of each class of one image.

    Taking a class out of the prediction of an image whose target has it never improves its scores.

    The surface of a class is its contour as in `seglab.metrics.shape.boundary`: pixels beside another
    class; the image's edge and void are none. Contours in or near void are not measured but may be
    the nearest to one that is. Hausdorff-95 is the larger of the two directed 95th percentiles
    (with linear interpolation) of Euclidean distances between pixel centres. Surface Dice (Nikolov
    et al., 2018) is the share of contour pixels of both sides within the tolerance of the other
    side; the paper weights surface elements by area, here each pixel counts 1.

    Args:
        pred_mask: Predicted class indices `(H, W)`, integer, `0..num_classes-1`.
        mask: Target `(H, W)`, integer, classes or `ignore_index`.
        num_classes: Number of classes C.
        ignore_index: Target value whose pixels are void; not a class index.
        tolerance_px: Tolerance of surface Dice in pixels, at least 1; None: `boundary_tolerance`.

    Raises:
        ShapeError: As `boundary_counts`.
        LabelError: As `boundary_counts`.
    """
    height, width = (*np.asarray(mask).shape, 0, 0)[:2]
    if tolerance_px is None:
        tolerance_px = boundary_tolerance(height, width)
    contours = find_contours(pred_mask, mask, num_classes, ignore_index, tolerance_px)
    pred = _points_of_classes(contours.pred, num_classes)
    target = _points_of_classes(contours.target, num_classes)
    scores = [
        _class_scores(one, other, contours.counted, tolerance_px)
        for one, other in zip(pred, target, strict=True)
    ]
    hd95, dice, no_distance = (np.array(column) for column in zip(*scores, strict=True))
    missed = contours.one_sided | no_distance
    penalty = math.hypot(height, width)
    return SurfaceScores(
        np.where(missed, penalty, hd95), np.where(missed, 0.0, dice), missed, penalty
    )


def summarise_surfaces(images: Sequence[SurfaceScores]) -> SurfaceSummary:
    """Return the means over images, then over classes; NaN is left out of both.

    Raises:
        DataError: There is no image.
    """
    if not images:
        raise DataError("expected the surface scores of at least one image, got none")
    hd95 = mean_of_images([image.hd95 for image in images])
    dice = mean_of_images([image.surface_dice for image in images])
    missed = np.stack([image.missed for image in images]).sum(axis=0, dtype=np.int64)
    penalty = mean_defined([image.penalty for image in images])
    return SurfaceSummary(
        mean_defined(hd95), mean_defined(dice), int(missed.sum()), penalty, hd95, dice, missed
    )


def _points_of_classes(contours: Labels, num_classes: int) -> list[Points]:
    """Return the contour pixels `(N, 2)` of each class."""
    points = np.argwhere(contours)
    labels = contours[points[:, 0], points[:, 1]]
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(1, num_classes + 2))
    return [points[order[start:end]] for start, end in itertools.pairwise(ends)]


def _class_scores(
    pred: Points, target: Points, counted: Flags, tolerance: float
) -> tuple[float, float, bool]:
    measured = [side[counted[side[:, 0], side[:, 1]]] for side in (pred, target)]
    if not any(map(len, measured)):
        return float("nan"), float("nan"), False
    if not len(pred) or not len(target):
        return float("nan"), float("nan"), True
    distances = [_distances(measured[0], target), _distances(measured[1], pred)]
    within = sum(int(np.count_nonzero(one <= tolerance)) for one in distances)
    # A side may have all of its contour near void; the other direction can still be measured.
    hd95 = max(float(np.percentile(one, _PERCENTILE)) for one in distances if len(one))
    return hd95, within / sum(map(len, distances)), False


def _distances(points: Points, others: Points) -> Floats:
    if not len(points):
        return np.zeros(0)
    return np.asarray(cKDTree(others).query(points)[0], dtype=np.float64)
