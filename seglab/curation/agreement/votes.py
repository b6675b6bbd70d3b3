"""What several annotators said of a pixel, as a pattern: an image has few, however many pixels.

All that goes pixel by pixel (votes, STAPLE, confusion with the others) is done once a pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Patterns = npt.NDArray[np.uint8]
# Larger codes are packed before another annotator is added to them.
_ROOM = 2**55


def find_patterns(
    masks: Sequence[npt.NDArray[np.uint8]],
) -> tuple[Patterns, npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the patterns of an image.

    Args:
        masks: One a annotator, each uint8 `(H, W)`.

    Returns:
        Patterns `(K, R)`, the pattern of each pixel `(H, W)`, and how many pixels have it `(K,)`.
    """
    codes = np.zeros(masks[0].size, dtype=np.int64)
    for mask in masks:
        if codes.max(initial=0) >= _ROOM:
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
        codes = codes * 256 + mask.ravel()
    _, first, inverse, counts = np.unique(
        codes, return_index=True, return_inverse=True, return_counts=True
    )
    patterns = np.stack([mask.ravel()[first] for mask in masks], axis=1)
    return patterns, inverse.reshape(masks[0].shape), counts


def votes(patterns: Patterns, num_classes: int) -> npt.NDArray[np.int64]:
    """Return how many annotators chose each class, `(K, C)`; void is no vote."""
    counts = np.zeros((len(patterns), 256), dtype=np.int64)
    for column in patterns.T:
        counts[np.arange(len(patterns)), column] += 1
    return counts[:, :num_classes]


def winner(weights: npt.NDArray[np.number], void: int) -> Patterns:
    """Return the class of most weight of each row of `(K, C)`, uint8 `(K,)`; `void` for ties and zeros."""
    top = weights.max(axis=1, keepdims=True)
    leading = np.isclose(weights, top, rtol=0.0, atol=1e-9)
    clear = (leading.sum(axis=1) == 1) & (top[:, 0] > 0)
    return np.where(clear, weights.argmax(axis=1), void).astype(np.uint8)


def confusions_with_others(
    patterns: Patterns, counts: npt.NDArray[np.int64], num_classes: int, void: int
) -> npt.NDArray[np.int64]:
    """Return a matrix for each annotator, `(R, C, C)`: rows = the majority of all others.

    The annotator's own vote is not in that majority. Pixels where the others are tied or silent, or the
    annotator is, are left out.
    """
    every = votes(patterns, num_classes)
    matrices = np.zeros((patterns.shape[1], num_classes, num_classes), dtype=np.int64)
    for annotator, own in enumerate(patterns.T):
        others = every.copy()
        spoke = np.flatnonzero(own < num_classes)
        others[spoke, own[spoke]] -= 1
        most = winner(others, void)
        counted = spoke[most[spoke] < num_classes]
        np.add.at(matrices[annotator], (most[counted], own[counted]), counts[counted])
    return matrices
