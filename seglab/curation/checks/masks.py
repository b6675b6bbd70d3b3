"""Masks that say nothing, hold specks and holes, lie beside their image, or are unlike the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from seglab.core.text.wording import plural
from seglab.curation.alike.outliers import LEAST_VECTORS, outlier_scores
from seglab.curation.findings import Finding, Kind
from seglab.curation.mask_fit import SHIFTED_MASK, MaskFit, fit_mask, least_gain
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample

_SPECK_PX = 4
# Masks of which fewer pixels would have to change class are like the others, however alike those are.
_LEAST_APART = 0.1


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
        SHIFTED_MASK,
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
        self._fits: list[tuple[str, MaskFit]] = []

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
                fit = fit_mask(sample.image, mask, self._labels.num_classes)
                self._fits.append((name, fit))
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
                words = f"{plural(number, kind[:-1])} of at most {_SPECK_PX} pixels"
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
        cut = least_gain([fit.gain for _, fit in self._fits], self._limits[SHIFTED_MASK])
        for name, fit in self._fits:
            if fit.move is not None and fit.gain >= cut:
                words = f"fits {fit.gain:.2f} times as well {fit.in_words()}"
                yield Finding(SHIFTED_MASK, name, words, fit.gain)

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


def _surrounded(mask: np.ndarray, inside: np.ndarray) -> bool:
    """Return whether a region lies within one other class, and does not touch the edge."""
    if inside[[0, -1]].any() or inside[:, [0, -1]].any():
        return False
    around = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~inside
    return len(np.unique(mask[around])) == 1
