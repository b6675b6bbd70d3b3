"""Numbers of one image and of one prediction that drift is measured on: the same at export and in service."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Prediction

_SEEN_SIDE = (
    96  # pixels along the shorter side that numbers of probabilities are taken from, at least
)
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
    step, channels = max(1, min(image.shape[:2]) // 256), image.shape[2]
    # The sum of the channels: the same as their mean, since only a ratio is taken of it. That of bytes
    # is exact in int16 up to 128 channels, and takes half as long as in float32.
    kind = np.int16 if image.dtype == np.uint8 and channels <= 128 else np.float32
    planes = [image[::step, ::step, channel].astype(kind) for channel in range(channels)]
    small = np.add.reduce(planes, dtype=kind)
    changes = [np.abs(np.diff(small, axis=axis)) for axis in (0, 1) if small.shape[axis] > 1]
    change = np.mean([one.mean(dtype=np.float32) for one in changes]) if changes else 0.0
    spread = float(small.std(dtype=np.float32))
    mean, deviation = _moments(image)
    found: dict[str, Any] = {
        "channel_mean": mean.astype(np.float32),
        "channel_std": deviation.astype(np.float32),
        "size": np.array(image.shape[:2], np.float32),
        "sharpness": np.float32(change / spread if spread > 0 else 0.0),
    }
    return found


def _moments(image: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of each channel; of bytes by counting, twenty times as fast."""
    planes = [image[..., channel] for channel in range(image.shape[2])]
    if image.dtype != np.uint8:
        mean = np.array([plane.mean(dtype=np.float64) for plane in planes])
        return mean, np.array([plane.std(dtype=np.float64) for plane in planes])
    values = np.arange(256)
    if len(planes) == 3:  # Pillow counts them in one go, in half the time
        counts = np.array(Image.fromarray(image).histogram()).reshape(3, 256)
    else:
        counts = np.stack([np.bincount(plane.reshape(-1), minlength=256) for plane in planes])
    mean = counts @ values / planes[0].size
    squares = (counts * (values - mean[:, None]) ** 2).sum(1)
    return mean, np.sqrt(squares / planes[0].size)


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
