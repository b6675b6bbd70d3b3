"""Whether the borders of a mask would fit its image better elsewhere, and which gain stands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from seglab.core.text.wording import plural
from seglab.curation.alike.robust import usual

SHIFTED_MASK = "shifted_mask"
# Of the largest side: how far a mask is tried to fit better.
_REACH = 0.06
_LEAST_EDGE_PX = 30
# An edge counts by how it stands out of what is around it, within a Gaussian of so much of the reach:
# else borders are drawn to texture, which is full of edges. The floor is a share of all edges.
_AROUND, _FLOOR = 0.5, 0.05
# Of the reach: so near a mask is where it should be, as annotators draw.
_NEAR = 0.15
# So many standard deviations of the fit over all places another one has to be better than that.
_CLEARLY = 0.75
# What stands out among the masks of a data set as shifted: see `least_gain`.
_LEAST_FITS, _FAR, _LEAST_SPREAD = 12, 6, 0.015


class MaskFit(NamedTuple):
    """How a mask fits its image where it would fit best.

    Args:
        gain: Mean strength of the image's edges under the borders moved there, over that where they are;
            1 where nowhere is better.
        move: Pixels down and to the right of the way there; None where no other place is clearly better.
    """

    gain: float
    move: tuple[int, int] | None

    def in_words(self) -> str:
        """Return the move, such as `13 pixels up and 2 to the left`."""
        down, right = self.move or (0, 0)
        ways = [
            (abs(down), "down" if down > 0 else "up"),
            (abs(right), "to the right" if right > 0 else "to the left"),
        ]
        (first, way), *rest = [one for one in ways if one[0]] or ways[:1]
        more = [f"{length} {direction}" for length, direction in rest]
        return " and ".join([f"{plural(first, 'pixel')} {way}", *more])


_STAYS = MaskFit(1.0, None)


def fit_mask(image: np.ndarray, mask: np.ndarray, num_classes: int) -> MaskFit:
    """Return how much better a mask fits its image elsewhere.

    Elsewhere is a peak of the fit within the range that is searched: a fit that still grows at the border
    of the range says nothing of a place. It has to rise above the fit around where the mask is, by three
    quarters of what the fit varies from place to place.

    Args:
        image: uint8 RGB `(H, W, 3)`.
        mask: Class indices `(H, W)`; borders with void count nowhere.
        num_classes: Number of classes.
    """
    reach = max(2, round(_REACH * max(mask.shape)))
    inner = borders_of(mask, num_classes)[reach:-reach, reach:-reach]
    if inner.sum() < _LEAST_EDGE_PX or min(inner.shape) < reach:
        return _STAYS
    edges = _edges(image, _AROUND * reach)
    found = cv2.matchTemplate(edges, inner.astype(np.float32), cv2.TM_CCORR) / inner.sum()
    own, peak = float(found[reach, reach]), _highest_peak(found)
    if peak is None or own <= 0 or found[peak] <= own:
        return _STAYS
    near = max(1, round(_NEAR * reach))
    around = found[reach - near : reach + near + 1, reach - near : reach + near + 1].max()
    is_clear = found[peak] - around >= _CLEARLY * found.std()
    move = (peak[0] - reach, peak[1] - reach) if is_clear else None
    return MaskFit(float(found[peak]) / own, move)


def _edges(image: np.ndarray, around: float) -> np.ndarray:
    """Return the strength of edges, each beside what is around it."""
    grey = cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).max(
        axis=2
    )
    # One strong edge must not outweigh all borders.
    edges = np.minimum(edges, np.percentile(edges, 95)).astype(np.float32)
    floor = _FLOOR * float(edges.mean()) + np.finfo(np.float32).eps
    return np.asarray(edges / (cv2.GaussianBlur(edges, (0, 0), around) + floor))


def _highest_peak(found: np.ndarray) -> tuple[int, int] | None:
    """Return the highest place that is not lower than those around it; None: all lie at the border."""
    is_peak = found >= cv2.dilate(found, np.ones((3, 3), np.uint8))
    is_peak[[0, -1]], is_peak[:, [0, -1]] = False, False
    if not is_peak.any():
        return None
    row, column = np.unravel_index(int(np.where(is_peak, found, -1).argmax()), found.shape)
    return int(row), int(column)


def borders_of(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Return which pixels `(H, W)` have another class beside or below them; void is no class."""
    borders = np.zeros(mask.shape, dtype=bool)
    for one, other, place in (
        (mask[:, 1:], mask[:, :-1], borders[:, 1:]),
        (mask[1:], mask[:-1], borders[1:]),
    ):
        place |= (one != other) & (one < num_classes) & (other < num_classes)
    return borders


def least_gain(gains: Sequence[float], limit: float) -> float:
    """Return from which gain of `fit_mask` on a mask counts as shifted: the limit, or less.

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
    middle, spread = usual(logs, _LEAST_SPREAD)
    return min(limit, float(np.exp(middle + _FAR * spread)))
