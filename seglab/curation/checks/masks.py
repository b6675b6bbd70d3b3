"""Masks that say nothing, hold specks and holes, lie beside their image, or are unlike the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from seglab.curation.alike.outliers import LEAST_VECTORS, outlier_scores
from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample

_SPECK_PX = 4
# Of the largest side: how far a mask is tried to fit better.
_REACH = 0.06
_LEAST_EDGE_PX = 30
# Masks of which fewer pixels would have to change class are like the others, however alike those are.
_LEAST_APART = 0.1
# What stands out among the masks of a data set as shifted: see `least_gain`.
_LEAST_FITS, _FAR, _LEAST_SPREAD = 12, 6, 0.015


@check(
    Kind(
        "empty_mask",
        "warning",
        "The mask holds a single class or nothing but ignored pixels.",
        "look",
        "masks",
    ),
    Kind(
        "specks",
        "note",
        "The mask holds regions of a few pixels.",
        "relabel",
        "masks",
        5.0,
        f"number of regions of at most {_SPECK_PX} pixels",
    ),
    Kind(
        "holes",
        "note",
        "Regions of the mask have holes of a few pixels.",
        "relabel",
        "masks",
        5.0,
        f"number of such holes of at most {_SPECK_PX} pixels",
    ),
    Kind(
        "shifted_mask",
        "warning",
        "The borders of the mask fit the image better when the mask is moved.",
        "relabel",
        "masks",
        1.25,
        "edge strength of the image under the moved borders over that under the borders as they are; less "
        "where the masks of a data set fit so well that such a gain stands out among theirs",
    ),
    Kind("unused_class", "note", "A class occurs in no mask.", "look", "masks"),
    Kind(
        "odd_shares",
        "note",
        "The shares of the classes are unlike those of all other masks.",
        "look",
        "masks",
        3.0,
        "log of the distance from the bulk of the masks (Mahalanobis, of the roots of the shares), in robust "
        "standard deviations above the median mask",
    ),
)
class MaskCheck:
    """Looks at masks alone, then at them beside the image and beside each other."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._limits, self._labels = inputs.limits, inputs.manifest.labels
        self._shares: list[tuple[str, np.ndarray]] = []
        self._fits: list[tuple[str, float, tuple[int, int]]] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Report what shows in one mask; keep how it fits its image, and the shares of its classes."""
        mask, name = sample.mask, sample.sample_id
        if mask is None:
            return
        counts = np.bincount(mask.ravel(), minlength=256)[: self._labels.num_classes]
        if np.count_nonzero(counts) < 2:
            only = [self._labels.class_names[place] for place in np.flatnonzero(counts)]
            yield Finding(
                "empty_mask", name, f"nothing but {only[0] if only else 'ignored pixels'}"
            )
        else:
            yield from self._specks(name, mask)
            if sample.image is not None and sample.image.shape[:2] == mask.shape:
                fit = better_place(sample.image, mask, self._labels.num_classes)
                self._fits.append((name, *fit))
        if counts.sum():
            self._shares.append((name, counts / counts.sum()))

    def _specks(self, name: str, mask: np.ndarray) -> Iterable[Finding]:
        found: Counter[str] = Counter()
        for index in np.unique(mask):
            inside = (mask == index).astype(np.uint8)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
            for place in range(1, count):
                if stats[place, cv2.CC_STAT_AREA] <= _SPECK_PX:
                    found["holes" if _surrounded(mask, labels == place) else "specks"] += 1
        for kind, number in found.items():
            if number >= self._limits[kind]:
                words = f"{number} of at most {_SPECK_PX} pixels"
                yield Finding(kind, name, words, float(number))

    def close(self) -> Iterable[Finding]:
        """Report masks off their images, classes that no mask has, and masks unlike all others."""
        yield from self._shifted()
        if not self._shares:
            return
        shares = np.stack([one for _, one in self._shares])
        for index in np.flatnonzero(shares.sum(axis=0) == 0):
            word = self._labels.class_names[index]
            yield Finding("unused_class", self._shares[0][0], f"no mask holds {word}")
        # Those of a single class are called empty already.
        several = np.flatnonzero((shares > 0).sum(axis=1) > 1)
        if len(several) >= LEAST_VECTORS:
            yield from self._odd([self._shares[place][0] for place in several], shares[several])

    def _shifted(self) -> Iterable[Finding]:
        cut = least_gain([gain for _, gain, _ in self._fits], self._limits["shifted_mask"])
        for name, gain, (down, right) in self._fits:
            if gain >= cut:
                words = f"fits {gain:.2f} times as well {down} pixels down and {right} to the right"
                yield Finding("shifted_mask", name, words, gain)

    def _odd(self, names: Sequence[str], shares: np.ndarray) -> Iterable[Finding]:
        # Roots, so that what is odd of a rare class counts beside what is usual of a frequent one.
        scores, usual = outlier_scores(np.sqrt(shares)), np.median(shares, axis=0)
        apart = np.abs(shares - usual).sum(axis=1) / 2
        odd = (scores >= self._limits["odd_shares"]) & (apart >= _LEAST_APART)
        for place in np.flatnonzero(odd).tolist():
            own, most = shares[place], int(np.abs(shares[place] - usual).argmax())
            words = (
                f"{100 * own[most]:.0f} % of the pixels are {self._labels.class_names[most]}, where "
                f"{100 * usual[most]:.0f} % are usual"
            )
            yield Finding("odd_shares", names[place], words, round(float(scores[place]), 4))


def least_gain(gains: Sequence[float], limit: float) -> float:
    """Return from which gain of `better_place` on a mask counts as shifted: the limit, or less.

    Masks that fit their images do so all about equally well: what stands out by six robust standard
    deviations (of the log, at least 1.5 % each) is shifted, though it gains less than the limit. That is
    not asked where so many masks are off that they set the standard: then the limit is what counts.

    Args:
        gains: Of all masks of a data set; few say nothing of what is usual.
        limit: From here on in any case.
    """
    if len(gains) < _LEAST_FITS:
        return limit
    logs = np.log(gains)
    middle = np.median(logs)
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
    return min(limit, float(np.exp(middle + _FAR * spread)))


def _surrounded(mask: np.ndarray, inside: np.ndarray) -> bool:
    """Return whether a region lies within one other class, and does not touch the edge."""
    if inside[[0, -1]].any() or inside[:, [0, -1]].any():
        return False
    around = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~inside
    return len(np.unique(mask[around])) == 1


def better_place(
    image: np.ndarray, mask: np.ndarray, num_classes: int
) -> tuple[float, tuple[int, int]]:
    """Return how much better a mask fits its image elsewhere.

    Args:
        image: uint8 RGB `(H, W, 3)`.
        mask: Class indices `(H, W)`; borders with void count nowhere.
        num_classes: Number of classes.

    Returns:
        Mean edge strength of the image under the borders moved to where it is highest, over that where
        they are (1: nowhere better), and the move down and to the right in pixels.
    """
    grey = cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).max(
        axis=2
    )
    # Ranks: one strong edge must not outweigh all borders.
    edges = np.minimum(edges, np.percentile(edges, 95)).astype(np.float32)
    borders = _borders(mask, num_classes)
    reach = max(2, round(_REACH * max(mask.shape)))
    inner = borders[reach:-reach, reach:-reach]
    if inner.sum() < _LEAST_EDGE_PX or min(inner.shape) < reach:
        return 1.0, (0, 0)
    found = cv2.matchTemplate(edges, inner.astype(np.float32), cv2.TM_CCORR) / inner.sum()
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    own = float(found[reach, reach])
    gain = float(found[row, column]) / own if own > 0 else 1.0
    return gain, (int(row) - reach, int(column) - reach)


def _borders(mask: np.ndarray, num_classes: int) -> np.ndarray:
    borders = np.zeros(mask.shape, dtype=bool)
    for one, other, place in (
        (mask[:, 1:], mask[:, :-1], borders[:, 1:]),
        (mask[1:], mask[:-1], borders[1:]),
    ):
        place |= (one != other) & (one < num_classes) & (other < num_classes)
    return borders
