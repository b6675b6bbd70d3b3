"""IoU of confusions that need not be whole numbers, and how sure a number of pooled images is."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from seglab.monitor.blocks import Streams, choose_block

# A class that no pixel was given, and that less than this share of them may be expected to be, is absent.
_ABSENT = 1e-4
_DRAWS, _LEVEL = 400, 0.95


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float


class Scores(NamedTuple):
    """Scores of a number of images."""

    iou: np.ndarray
    """Of each class, `(..., K)`; NaN for a class that is absent."""
    miou: np.ndarray
    """Mean of those that are defined, `(...)`."""


def scores_of(confusion: np.ndarray) -> Scores:
    """Return the scores of a pooled confusion.

    Args:
        confusion: Pixels, `(..., K, K)`, rows = target, columns = prediction; expected ones have fractions.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    given, true = confusion.sum(-2), confusion.sum(-1)
    least = _ABSENT * confusion.sum((-2, -1))[..., None]
    absent = (given <= 0) & (true <= least)
    iou = np.where(absent, np.nan, right / np.maximum(given + true - right, 1e-300))
    some = ~absent
    miou = np.where(some, iou, 0).sum(-1) / np.maximum(some.sum(-1), 1)
    return Scores(iou, np.where(some.any(-1), miou, np.nan))


def redrawn(confusions: np.ndarray, streams: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return sums of images drawn anew in blocks of neighbours, `(draws, K, K)`.

    Args:
        confusions: Of each image in order of time, `(n, K, K)`.
        streams: Of each, str `(n,)`.
        rng: Source of randomness.
    """
    count = len(confusions)
    lie = Streams.of(streams)
    block, _ = choose_block(_share_right(confusions)[:, None], lie)
    flat = confusions.reshape(count, -1).astype(np.float64)
    # One long stream cut into pieces: each begins anywhere in a block, as a stream that is met does.
    drawn = lie.draw(count * _DRAWS, block, rng) + np.repeat(np.arange(_DRAWS) * count, count)
    times = np.bincount(drawn, minlength=count * _DRAWS).reshape(_DRAWS, count)
    sums: np.ndarray = (times @ flat).reshape(_DRAWS, *confusions.shape[1:])
    return sums


def intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the middle 95 % along the first axis; NaN where nothing is defined."""
    tail = (1 - _LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that is absent from every draw
        low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return low, high


def _share_right(confusions: np.ndarray) -> np.ndarray:
    right = np.trace(confusions, axis1=1, axis2=2)
    return np.asarray(right / np.maximum(confusions.sum((1, 2)), 1e-300))
