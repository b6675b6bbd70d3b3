"""Errors planted into masks, as annotators make them, to see whether a reviewer notices."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from seglab.core.labels import LabelSpace

# An object to spoil covers at least and at most so much of the mask: a reviewer can see that.
_LEAST_SHARE, _MOST_SHARE = 0.004, 0.35
# A shifted mask is off by so much of the diagonal.
_SHIFTS = (0.03, 0.06)

Spoilt = tuple[np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class _Spoiler:
    mask: np.ndarray
    labels: LabelSpace
    classes: Collection[int]
    rng: np.random.Generator

    def wrong_class(self) -> Spoilt | None:
        """One object gets another class that the data set has."""
        thing = self._object()
        others = [] if thing is None else [one for one in self.classes if one != thing[0]]
        if thing is None or not others:
            return None
        wrong = int(self.rng.choice(others))
        names = self.labels.class_names
        spoilt = np.where(thing[1], np.uint8(wrong), self.mask)
        return spoilt, {"class": names[thing[0]], "drawn_as": names[wrong]}

    def missing_object(self) -> Spoilt | None:
        """One object goes, and what is around it grows over its place."""
        thing = self._object()
        void = self.mask == self.labels.ignore_index
        if thing is None or (thing[1] | void).all():
            return None
        # With the object goes the void along its outline, which would give it away.
        near = ndimage.binary_dilation(thing[1], iterations=3) & void
        gone = thing[1] | near
        source = ndimage.distance_transform_edt(
            gone | void, return_distances=False, return_indices=True
        )
        spoilt = np.where(gone, self.mask[tuple(source)], self.mask)
        return spoilt, {"class": self.labels.class_names[thing[0]]}

    def shifted(self) -> Spoilt | None:
        """The whole mask is off its image."""
        reach = float(self.rng.uniform(*_SHIFTS)) * float(np.hypot(*self.mask.shape))
        angle = float(self.rng.uniform(0.0, 2.0 * np.pi))
        down, right = round(reach * np.sin(angle)), round(reach * np.cos(angle))
        rows = np.clip(np.arange(self.mask.shape[0]) - down, 0, self.mask.shape[0] - 1)
        columns = np.clip(np.arange(self.mask.shape[1]) - right, 0, self.mask.shape[1] - 1)
        return self.mask[np.ix_(rows, columns)], {"down_px": int(down), "right_px": int(right)}

    def _object(self) -> tuple[int, np.ndarray] | None:
        """Return class and place of a random object that is neither a speck nor the background."""
        found = []
        for index in np.unique(self.mask[self.mask != self.labels.ignore_index]):
            count, numbers, stats, _ = cv2.connectedComponentsWithStats(
                (self.mask == index).astype(np.uint8), connectivity=8
            )
            shares = stats[1:count, cv2.CC_STAT_AREA] / self.mask.size
            fitting = np.flatnonzero((shares >= _LEAST_SHARE) & (shares <= _MOST_SHARE)) + 1
            found += [(int(index), numbers, int(number)) for number in fitting]
        if not found:
            return None
        index, numbers, number = found[int(self.rng.integers(len(found)))]
        return index, numbers == number


KINDS: dict[str, Callable[[_Spoiler], Spoilt | None]] = {
    "wrong_class": _Spoiler.wrong_class,
    "missing_object": _Spoiler.missing_object,
    "shifted": _Spoiler.shifted,
}


def plant_error(
    kind: str,
    mask: np.ndarray,
    labels: LabelSpace,
    classes: Collection[int],
    rng: np.random.Generator,
) -> Spoilt | None:
    """Return a mask with an error that can be seen.

    Args:
        kind: A key of `KINDS`.
        mask: Class indices uint8 `(H, W)` or the ignored index; not changed.
        labels: What they mean.
        classes: Classes that occur in the data set.
        rng: Source of randomness.

    Returns:
        The spoilt mask and what was done; None where the mask holds nothing this can be done to, or
        hardly a pixel would change.
    """
    done = KINDS[kind](_Spoiler(mask, labels, classes, rng))
    if done is None:
        return None
    changed = int(np.count_nonzero(done[0] != mask))
    if changed < _LEAST_SHARE * mask.size:
        return None
    return done[0], {**done[1], "pixels_changed": changed}
