"""Whether two images with near hashes show the same picture: hashes propose, pixels decide."""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 64
# The middle of one image is searched for in the other: cropped away may be up to this on a side.
_MARGIN = 7
_SCALES = (0.95, 1.0, 1.05)


def small_grey(image: np.ndarray) -> np.ndarray:
    """Return an image, uint8 `(H, W, 3)`, as float32 `(64, 64)` grey."""
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much one image is the other, moved or cropped a little and of any brightness.

    Args:
        one: From `small_grey`.
        other: Likewise.

    Returns:
        The highest normalised correlation, in [-1, 1], of the middle of either image with a place of the
        other, at scales of 0.95 to 1.05. An image without contrast is like none: -1.
    """
    if min(one.std(), other.std()) < 1:
        return -1.0
    return max(_best(one, other), _best(other, one))


def _best(one: np.ndarray, other: np.ndarray) -> float:
    middle = one[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    found = -1.0
    for scale in _SCALES:
        side = round(middle.shape[0] * scale)
        part = cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA)
        if part.std() >= 1:
            scores = cv2.matchTemplate(other, part, cv2.TM_CCOEFF_NORMED)
            found = max(found, float(scores.max()))
    return found
