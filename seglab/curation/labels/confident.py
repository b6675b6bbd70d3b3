"""Confident learning for masks: images stream by twice, and nothing is kept but a few numbers of each.

The first pass takes the threshold of each class, the mean probability of it on pixels labelled so. The
second pass calls a pixel an issue where the most probable class among those above their own threshold is
not the given one. cleanlab does so for tables and holds every probability at once; here void pixels count
nowhere, images may differ in size, and class ids are never averaged.

What ranks images and regions is their *surprise*: how much less probable the given labels are than the
model itself would expect, `-log p(given) - H(p)`, averaged over a few neighbouring pixels. Where a model
is unsure, as along borders and on classes it never learnt, it expects to be wrong, and nothing stands out.
Over an image it is summed in units of what is usual for the given class: a model that often takes poles
for buildings says little where it does so once more. Outlines that are drawn too wide, too tight or
ragged are wrong in few pixels; they are told by the share of border pixels that surely belong to their
neighbour. An object of which hardly anything is labelled as what it looks like is told by its own surprise,
however much goes on elsewhere in the image. `seglab.curation.labels.scenes` makes a ranking of these numbers.

References:
    Northcutt, Jiang, Chuang (2021), Confident learning: https://arxiv.org/abs/1911.00068
    Lad, Mueller (2023), Estimating label quality and errors in semantic segmentation data via any model:
    https://arxiv.org/abs/2307.05080
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from seglab.core.errors import ShapeError

# Half a step of the probabilities that runs keep.
_LEAST = 1 / 510
# Wide enough to average out single pixels, narrow enough for poles.
_SIGMA_PX = 1.0
# A border pixel is surely its neighbour's from this probability on, if it is also so many times its own.
_SURE, _TIMES = 0.5, 2.0
# In nats; that of a class which is always right.
_LEAST_SURPRISE = 0.1
_LEAST_REGION_PX = 6
# Of an object that is not labelled as what it looks like at most this share is: its rim.
_LABELLED = 0.2
# So many numbers are kept of an image, however many classes there are.
_MOST_CONFUSIONS = 32

Confusion = tuple[int, int]


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
        score: Root of the summed squares of what surprise is above 0, each in units of what is usual for its
            class. Many pixels count as well as very wrong ones. 0 without a valid pixel.
        outline: Share of the pixels beside another class that are surely of that one. 0 without such pixels.
        confusions: Surprise of the objects that are hardly labelled as what they look like, by `(given,
            other)`: the class that most of an object is labelled as, and the one it looks like. Root of the
            summed squares of what surprise is above 0 on the wrong pixels, in nats; the 32 largest. An
            object is at least six connected pixels to which `other` is the most probable class, at most a
            fifth of them labelled so.
        issue_share: Share of valid pixels that are issues.
        surprise: Float32 `(H, W)`, 0 on void.
        issues: Bool `(H, W)`, pixels whose label confident learning calls wrong.
        suggested: uint8 `(H, W)`: the given classes, on issues the suggested ones.
        regions: Regions of at least six pixels, the most surprising first.
    """

    score: float
    outline: float
    confusions: Mapping[Confusion, float]
    issue_share: float
    surprise: np.ndarray
    issues: np.ndarray
    suggested: np.ndarray
    regions: tuple[Region, ...]


class Usual(NamedTuple):
    """What is usual of each class of a data set, float `(C,)` each.

    Args:
        thresholds: Mean probability of the class on pixels labelled so; infinite where there are none.
        surprise: Root mean square of what surprise is above 0 on them, at least 0.1.
    """

    thresholds: np.ndarray
    surprise: np.ndarray


class ClassStatistics:
    """Takes what is usual of each class, image by image.

    Args:
        num_classes: Number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        self._probability, self._squares = np.zeros(num_classes), np.zeros(num_classes)
        self._counts = np.zeros(num_classes, dtype=np.int64)

    def add(self, mask: np.ndarray, probabilities: np.ndarray) -> None:
        """Take one image: `(H, W)` class indices, others are void, and float `(C, H, W)`."""
        num_classes = len(self._counts)
        require_fit(mask, probabilities, num_classes)
        valid = mask < num_classes
        given = np.where(valid, mask, 0).astype(np.int64)
        own = np.take_along_axis(probabilities, given[None], axis=0)[0][valid]
        above = np.maximum(_surprise(given, valid, probabilities)[valid], 0)
        for sums, values in ((self._probability, own), (self._squares, above**2)):
            sums += np.bincount(given[valid], values.astype(np.float64), minlength=num_classes)
        self._counts += np.bincount(given[valid], minlength=num_classes)

    def usual(self) -> Usual:
        """Return what is usual of all images taken."""
        counts = np.maximum(self._counts, 1)
        thresholds = np.where(self._counts > 0, self._probability / counts, np.inf)
        return Usual(thresholds, np.maximum(np.sqrt(self._squares / counts), _LEAST_SURPRISE))


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


def score_labels(mask: np.ndarray, probabilities: np.ndarray, usual: Usual) -> LabelScore:
    """Score the labels of one image.

    Args:
        mask: Class indices `(H, W)`; values from C on are void and count nowhere.
        probabilities: Float `(C, H, W)` of a model that was not trained on this mask.
        usual: From `ClassStatistics.usual`.

    Raises:
        ShapeError: The sizes differ.
    """
    require_fit(mask, probabilities, len(usual.thresholds))
    valid = mask < len(usual.thresholds)
    given = np.where(valid, mask, 0).astype(np.int64)
    confident = np.where(probabilities >= usual.thresholds[:, None, None], probabilities, 0)
    looks = confident.argmax(axis=0)
    issues = valid & (confident.max(axis=0) > 0) & (looks != given)
    surprise = _surprise(given, valid, probabilities)
    suggested = np.where(issues, looks, mask).astype(np.uint8)
    regions = _regions(mask, suggested, issues, surprise)
    above = np.square(np.maximum(surprise, 0) / usual.surprise[given], dtype=np.float64)
    return LabelScore(
        score=float(np.sqrt(above.sum())),
        outline=_outline(given, valid, probabilities),
        confusions=_confusions(given, valid, probabilities, surprise),
        issue_share=float(issues.sum() / max(valid.sum(), 1)),
        surprise=surprise,
        issues=issues,
        suggested=suggested,
        regions=tuple(sorted(regions, key=lambda one: -one.score)),
    )


def _confusions(
    given: np.ndarray, valid: np.ndarray, probabilities: np.ndarray, surprise: np.ndarray
) -> dict[Confusion, float]:
    looks = np.where(valid, probabilities.argmax(axis=0), -1)
    squares = np.square(np.maximum(surprise, 0), dtype=np.float64)
    sums: dict[Confusion, float] = {}
    for other in np.unique(looks[valid]).tolist():
        here = looks == other
        _, parts = cv2.connectedComponents(here.astype(np.uint8), connectivity=8)
        # Counted on these pixels alone, so that all classes together take one pass over the image.
        found = _unlabelled_objects(parts[here], given[here], squares[here], other)
        for most, value in zip(*found, strict=True):
            sums[most, other] = sums.get((most, other), 0.0) + value
    largest = sorted(sums.items(), key=lambda item: -item[1])[:_MOST_CONFUSIONS]
    return {pair: value**0.5 for pair, value in largest if value}


def _unlabelled_objects(
    parts: np.ndarray, given: np.ndarray, squares: np.ndarray, other: int
) -> tuple[list[int], list[float]]:
    """Return the most common label, and the sum of the squares, of each part that is hardly labelled `other`.

    Args:
        parts: Number of the part that each pixel belongs to, from 1, int `(N,)`.
        given: The class that each is labelled as, int `(N,)`.
        squares: Squared surprise of each, float `(N,)`.
        other: The class that all look like.
    """
    wrong = given != other
    pixels, wrong_pixels = np.bincount(parts), np.bincount(parts[wrong], minlength=parts.max() + 1)
    kept = (wrong_pixels >= (1 - _LABELLED) * pixels) & (pixels >= _LEAST_REGION_PX)
    inside = kept[parts] & wrong
    numbers, labels, count = np.cumsum(kept)[parts[inside]] - 1, given[inside], int(kept.sum())
    classes = int(given.max()) + 1
    table = np.bincount(numbers * classes + labels, minlength=count * classes)
    sums = np.bincount(numbers, squares[inside], minlength=count)
    return table.reshape(count, classes).argmax(axis=1).tolist(), sums.tolist()


def _outline(given: np.ndarray, valid: np.ndarray, probabilities: np.ndarray) -> float:
    """Return which share of the pixels with another class above, below or beside surely has that class."""
    own = np.take_along_axis(probabilities, given[None], axis=0)[0]
    at_border, is_neighbours = np.zeros(given.shape, bool), np.zeros(given.shape, bool)
    here, there = slice(1, None), slice(None, -1)
    for one, other in (((here,), (there,)), ((slice(None), here), (slice(None), there))):
        for place, beside in ((one, other), (other, one)):
            border = valid[place] & valid[beside] & (given[place] != given[beside])
            at_border[place] |= border
            share = np.take_along_axis(probabilities[:, *place], given[beside][None], axis=0)[0]
            is_neighbours[place] |= border & (share > _SURE) & (share > _TIMES * own[place])
    return float(is_neighbours.sum() / max(at_border.sum(), 1))


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
