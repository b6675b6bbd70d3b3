"""Numbers of one image and of one prediction that drift is measured on: the same at export and in service."""

from __future__ import annotations

from typing import Any

import numpy as np

from seglab.bundle.loader import Prediction


def input_statistics(image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return what an image looks like.

    Args:
        image: `(H, W, C)`, stored values.

    Returns:
        `channel_mean` and `channel_std`, float32 `(C,)`, in stored values; `size`, `(2,)`: height and
        width; `sharpness`, `()`: mean absolute difference of neighbouring pixels over the standard
        deviation, on every n-th pixel of large images; 0 for an image of one colour.
    """
    values = image.astype(np.float32)
    step = max(1, min(image.shape[:2]) // 256)
    small = values[::step, ::step].mean(2)
    changes = [np.abs(np.diff(small, axis=axis)) for axis in (0, 1) if small.shape[axis] > 1]
    change = np.mean([one.mean() for one in changes]) if changes else 0.0
    spread = float(small.std())
    return {
        "channel_mean": values.mean((0, 1)),
        "channel_std": values.std((0, 1)),
        "size": np.array(image.shape[:2], np.float32),
        "sharpness": np.float32(change / spread if spread > 0 else 0.0),
    }


def pixel_entropy(probabilities: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return how unsure each pixel is.

    Args:
        probabilities: float32 `(classes, H, W)`.

    Returns:
        float32 `(H, W)`, 0 to 1: the entropy over its largest possible value, all classes alike.
    """
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    share: np.ndarray[Any, Any] = -(probabilities * logs).sum(0)
    return share / np.log(np.float32(max(2, len(probabilities))))


def output_statistics(found: Prediction) -> dict[str, np.ndarray[Any, Any]]:
    """Return what a prediction is like.

    Returns:
        `class_shares`, float32 `(classes,)`: share of the pixels given to each; `confidence`, `()`:
        mean probability of the class given; `entropy`, `()`: mean entropy of the probabilities over
        its maximum, 0 to 1; `predicted_mean`, `(classes,)`: mean probability of each class.
    """
    probabilities = found.probabilities
    classes = len(probabilities)
    shares = np.bincount(found.mask.ravel(), minlength=classes) / found.mask.size
    return {
        "class_shares": shares.astype(np.float32),
        "confidence": np.float32(probabilities.max(0).mean()),
        "entropy": np.float32(pixel_entropy(probabilities).mean()),
        "predicted_mean": probabilities.mean((1, 2)),
    }
