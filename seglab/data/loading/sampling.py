"""Training images that are drawn more often than others, so that rare classes and cases are seen.

An epoch keeps its length: what is drawn more often takes the place of what is drawn less often. Each
image comes as often as it should, rounded up or down, and not by luck.

References:
    Gupta, Dollar and Girshick (2019), repeat factor sampling of LVIS: https://arxiv.org/abs/1908.03195
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from seglab.core.errors import ConfigError, nearest
from seglab.core.seeding import generator
from seglab.data.options import SamplingOptions


def sample_weights(
    rows: pd.DataFrame, num_classes: int, options: SamplingOptions
) -> np.ndarray | None:
    """Return how often each image is to be drawn, relative to the others.

    The weight of an image is `max(1, sqrt(rarity / share))` for its rarest class, where `share` is the
    share of these images that hold the class (ignored pixels hold none), times that of each of its tags.

    Args:
        rows: Training rows of a manifest.
        num_classes: Classes of its label space.
        options: What is drawn more often.

    Returns:
        Float64 `(N,)`, or None where all are drawn alike.

    Raises:
        ConfigError: No image has a tag that is named.
    """
    weights = np.ones(len(rows))
    if options.rarity is not None:
        pixels = np.array(rows["class_pixels"].tolist(), dtype=np.int64)[:, :num_classes]
        present = pixels > 0
        share = present.mean(axis=0)
        factor = np.sqrt(options.rarity / np.maximum(share, 1 / len(rows)))
        weights = np.where(present, np.maximum(factor, 1.0), 1.0).max(axis=1)
    weights = weights * _tag_weights(rows["tags"].tolist(), options.tags)
    return None if (weights == weights[0]).all() else weights


def _tag_weights(tags: Sequence[Sequence[str]], factors: Mapping[str, float]) -> np.ndarray:
    known = sorted({tag for own in tags for tag in own})
    problems = [
        f"data.sampling.tags: no training image has the tag '{name}'{nearest(name, known)}; tags are "
        f"{', '.join(known) or 'not there at all'}"
        for name in factors
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return np.array([np.prod([factors.get(tag, 1.0) for tag in own]) for own in tags])


def weighted_order(weights: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return the draws of one epoch: int64 `(N,)`, row i in it `N * w_i / sum(w)` times, rounded.

    Which are rounded up changes from epoch to epoch, so that over many epochs each comes as often as
    its weight says (systematic sampling: one random number an epoch). A pure function of its arguments.
    """
    rng = generator(seed, "weighted order", epoch)
    count = len(weights)
    shuffled = rng.permutation(count)
    ends = np.cumsum(weights[shuffled]) * (count / weights.sum())
    drawn = np.searchsorted(ends, np.arange(count) + rng.random(), side="right")
    return rng.permutation(shuffled[np.minimum(drawn, count - 1)])


def class_shares(class_pixels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the share of each class in the labelled pixels of images drawn by weight.

    Args:
        class_pixels: Int64 `(N, C)`, without the ignored pixels.
        weights: `(N,)`; None draws all alike.

    Returns:
        Float64 `(C,)`; NaN where there is no labelled pixel.
    """
    held = class_pixels.sum(axis=0) if weights is None else weights @ class_pixels
    return np.asarray(held / held.sum() if held.sum() else np.full(len(held), np.nan))
