"""Numbers of one image and of one prediction that drift is measured on: the same at export and in service."""

from __future__ import annotations

from typing import Any

import numpy as np

from seglab.bundle.loader import Prediction

_SEEN_SIDE = (
    96  # pixels along the shorter side that numbers of probabilities are taken from, at least
)
_AT_ONCE = 2**13  # values of a sum: they stay in the processor's cache, and BLAS takes one thread
Array = np.ndarray[Any, Any]


def input_statistics(image: Array) -> dict[str, Array]:
    """Return what an image looks like.

    Args:
        image: `(H, W, C)`, stored values.

    Returns:
        `channel_mean` and `channel_std`, float32 `(C,)`, in stored values; `size`, `(2,)`: height and
        width; `sharpness`, `()`: mean absolute difference of neighbouring pixels over the standard
        deviation, on every n-th pixel of large images; 0 for an image of one colour.
    """
    step = max(1, min(image.shape[:2]) // 256)
    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0))
    # The sum of the channels: the same as their mean, since only a ratio is taken of it. That of bytes
    # is exact in int16 up to 128 channels, and half as long as in float32.
    is_small = image.dtype == np.uint8 and len(planes) <= 128
    seen = planes[:, ::step, ::step]
    small = np.add.reduce(seen, axis=0, dtype=np.int16 if is_small else np.float32)
    changes = [np.abs(np.diff(small, axis=axis)) for axis in (0, 1) if small.shape[axis] > 1]
    change = np.mean([one.mean(dtype=np.float32) for one in changes]) if changes else 0.0
    spread = float(small.std(dtype=np.float32))
    moments = np.array([_moments(plane) for plane in planes])
    found: dict[str, Any] = {
        "channel_mean": moments[:, 0].astype(np.float32),
        "channel_std": moments[:, 1].astype(np.float32),
        "size": np.array(image.shape[:2], np.float32),
        "sharpness": np.float32(change / spread if spread > 0 else 0.0),
    }
    return found


def _moments(plane: Array) -> tuple[float, float]:
    """Return mean and standard deviation of a channel; of bytes by two sums, which float64 holds exactly."""
    if plane.dtype != np.uint8:
        return float(plane.mean(dtype=np.float64)), float(plane.std(dtype=np.float64))
    values, total, squares = plane.reshape(-1), 0.0, 0.0
    for start in range(0, values.size, _AT_ONCE):
        part = values[start : start + _AT_ONCE].astype(np.float64)
        total, squares = total + float(part.sum()), squares + float(part @ part)
    mean = total / plane.size
    return mean, max(0.0, squares / plane.size - mean**2) ** 0.5


def pixel_entropy(probabilities: Array) -> Array:
    """Return how unsure each pixel is.

    Args:
        probabilities: float32 `(classes, H, W)`.

    Returns:
        float32 `(H, W)`, 0 to 1: the entropy over its largest possible value, all classes alike.
    """
    parts = np.maximum(probabilities, np.finfo(np.float32).tiny)
    np.log(parts, out=parts)
    parts *= probabilities  # in place: new memory of this size takes longer than the product
    share: Array = -parts.sum(0)
    return share / np.log(np.float32(max(2, len(probabilities))))


def thinned(planes: Array) -> Array:
    """Return every n-th row and column of `(..., H, W)`: enough of an image for numbers of the whole."""
    step = max(1, min(planes.shape[-2:]) // _SEEN_SIDE)
    return planes[..., ::step, ::step]


def output_statistics(found: Prediction, counts: Array | None = None) -> dict[str, Array]:
    """Return what a prediction is like.

    Args:
        found: Its probabilities may be `thinned` already. Those of a large image are thinned here: what is
            measured in service has to cost little.
        counts: Pixels of each class in the mask, where they were counted before.

    Returns:
        `class_shares`, float32 `(classes,)`: share of the pixels given to each; `confidence`, `()`:
        mean probability of the class given; `entropy`, `()`: mean entropy of the probabilities over
        its maximum, 0 to 1; `predicted_mean`, `(classes,)`: mean probability of each class; `confusion`,
        `(classes, classes)`: how many pixels may be expected to be of class t and given p, at `[t, p]`,
        from the probabilities; its sum is the number of pixels.
    """
    probabilities, mask = found.probabilities, found.mask
    classes = len(probabilities)
    if probabilities.shape[1:] == mask.shape:
        probabilities = thinned(probabilities)
    if counts is None:
        counts = np.bincount(mask.reshape(-1), minlength=classes)
    confusion = _expected_confusion(probabilities, thinned(mask)) * np.float32(mask.size)
    return {
        "class_shares": (counts / mask.size).astype(np.float32),
        "confidence": np.float32(probabilities.max(0).mean()),
        "entropy": np.float32(pixel_entropy(probabilities).mean()),
        "predicted_mean": probabilities.mean((1, 2)),
        "confusion": confusion,
    }


def _expected_confusion(probabilities: Array, mask: Array) -> Array:
    """Return the mean over the pixels of probability `[t]` where class `[p]` was given."""
    classes = len(probabilities)
    given = np.flatnonzero(np.bincount(mask.reshape(-1), minlength=classes))
    # One product instead of a pass a class; only the classes that were given have columns.
    hot = (mask.reshape(1, -1) == given[:, None]).astype(np.float32)
    found = np.zeros((classes, classes), np.float32)
    found[:, given] = probabilities.reshape(classes, -1) @ hot.T / np.float32(mask.size)
    return found
