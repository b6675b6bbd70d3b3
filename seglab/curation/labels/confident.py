"""Confident learning for masks: images stream by twice, and nothing is kept but a few numbers of each.

The first pass takes the threshold of each class, the mean probability of it on pixels labelled so. The
second pass calls a pixel an issue where the most probable class among those above their own threshold is
not the given one. cleanlab does so for tables and holds every probability at once; here void pixels count
nowhere, images may differ in size, and class ids are never averaged.

What ranks images and regions is their *surprise*: how much less probable the given labels are than the
model itself would expect, `-log p(given) - H(p)`, averaged over a few neighbouring pixels. Where a model
is unsure, as along borders and on classes it never learnt, it expects to be wrong, and nothing stands out.
On the small data tried so far this ranks about as well as cleanlab's scores, not better.

References:
    Northcutt, Jiang, Chuang (2021), Confident learning: https://arxiv.org/abs/1911.00068
    Lad, Mueller (2023), Estimating label quality and errors in semantic segmentation data via any model:
    https://arxiv.org/abs/2307.05080
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seglab.core.errors import ShapeError

# Half a step of the probabilities that runs keep.
_LEAST = 1 / 510
# Wide enough to average out single pixels, narrow enough for poles.
_SIGMA_PX = 1.0
_LEAST_REGION_PX = 6


@dataclass(frozen=True)
class Region:
    """Connected pixels that are labelled alike and look like one other class.

    Args:
        box: `(x0, y0, x1, y1)`, ends exclusive.
        pixels: Their number.
        given: Class they are labelled as.
        suggested: Class they look like.
        score: Highest surprise in it, in nats.
    """

    box: tuple[int, int, int, int]
    pixels: int
    given: int
    suggested: int
    score: float


@dataclass(frozen=True, eq=False)
class LabelScore:
    """How likely the labels of an image are wrong.

    Args:
        score: Root of the summed squares of what surprise is above 0; images are ranked by it. Many pixels
            count as well as very wrong ones. 0 without a valid pixel.
        issue_share: Share of valid pixels that are issues.
        surprise: Float32 `(H, W)`, 0 on void.
        issues: Bool `(H, W)`, pixels whose label confident learning calls wrong.
        suggested: uint8 `(H, W)`: the given classes, on issues the suggested ones.
        regions: Regions of at least six pixels, the most surprising first.
    """

    score: float
    issue_share: float
    surprise: np.ndarray
    issues: np.ndarray
    suggested: np.ndarray
    regions: tuple[Region, ...]


class ClassThresholds:
    """Takes the mean probability of each class on pixels labelled so, image by image.

    Args:
        num_classes: Number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        self._sums = np.zeros(num_classes)
        self._counts = np.zeros(num_classes, dtype=np.int64)

    def add(self, mask: np.ndarray, probabilities: np.ndarray) -> None:
        """Take one image: `(H, W)` class indices, others are void, and float `(C, H, W)`."""
        require_fit(mask, probabilities, len(self._sums))
        valid = mask < len(self._sums)
        labels = mask[valid]
        own = np.take_along_axis(probabilities[:, valid], labels[None].astype(np.int64), axis=0)[0]
        self._sums += np.bincount(labels, own.astype(np.float64), minlength=len(self._sums))
        self._counts += np.bincount(labels, minlength=len(self._sums))

    def values(self) -> np.ndarray:
        """Return the thresholds, float `(C,)`; infinite for a class that no pixel is labelled as."""
        with np.errstate(invalid="ignore"):
            means = self._sums / self._counts
        return np.where(self._counts > 0, means, np.inf)


def require_fit(mask: np.ndarray, probabilities: np.ndarray, num_classes: int) -> None:
    """Refuse probabilities of another size or other classes than the mask.

    Raises:
        ShapeError: They differ.
    """
    if probabilities.shape != (num_classes, *mask.shape):
        raise ShapeError(
            f"expected probabilities of {num_classes} classes at the size of the mask, "
            f"{(num_classes, *mask.shape)}, got {probabilities.shape}"
        )


def score_labels(mask: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> LabelScore:
    """Score the labels of one image.

    Args:
        mask: Class indices `(H, W)`; values from C on are void and count nowhere.
        probabilities: Float `(C, H, W)` of a model that was not trained on this mask.
        thresholds: From `ClassThresholds.values`.

    Raises:
        ShapeError: The sizes differ.
    """
    require_fit(mask, probabilities, len(thresholds))
    valid = mask < len(thresholds)
    given = np.where(valid, mask, 0).astype(np.int64)
    confident = np.where(probabilities >= thresholds[:, None, None], probabilities, 0)
    looks = confident.argmax(axis=0)
    issues = valid & (confident.max(axis=0) > 0) & (looks != given)
    surprise = _surprise(given, valid, probabilities)
    suggested = np.where(issues, looks, mask).astype(np.uint8)
    regions = _regions(mask, suggested, issues, surprise)
    return LabelScore(
        score=float(np.sqrt(np.square(np.maximum(surprise, 0), dtype=np.float64).sum())),
        issue_share=float(issues.sum() / max(valid.sum(), 1)),
        surprise=surprise,
        issues=issues,
        suggested=suggested,
        regions=tuple(sorted(regions, key=lambda one: -one.score)),
    )


def _surprise(given: np.ndarray, valid: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    shares = np.maximum(probabilities, _LEAST)
    shares = shares / shares.sum(axis=0)
    logs = np.log(shares)
    own = np.take_along_axis(logs, given[None], axis=0)[0]
    excess = np.where(valid, (shares * logs).sum(axis=0) - own, 0).astype(np.float32)
    # Averaged over valid neighbours alone: void beside a pixel says nothing of it.
    weights = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), _SIGMA_PX)
    smooth = cv2.GaussianBlur(excess, (0, 0), _SIGMA_PX) / np.maximum(weights, 1e-6)
    return np.where(valid, smooth, 0).astype(np.float32)


def _regions(
    mask: np.ndarray, suggested: np.ndarray, issues: np.ndarray, surprise: np.ndarray
) -> list[Region]:
    found = []
    codes = mask.astype(np.int32) * 256 + suggested
    for code in np.unique(codes[issues]):
        same = (issues & (codes == code)).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(same, connectivity=8)
        for place in range(1, count):
            left, top, width, height, pixels = (int(value) for value in stats[place])
            if pixels >= _LEAST_REGION_PX:
                cut = (slice(top, top + height), slice(left, left + width))
                peak = float(surprise[cut][labels[cut] == place].max())
                box = (left, top, left + width, top + height)
                found.append(Region(box, pixels, int(code) // 256, int(code) % 256, peak))
    return found
