"""How much an image would tell: the distance of its features, and the disagreement of an ensemble.

References:
    Sun et al. (2022), Out-of-distribution detection with deep nearest neighbors:
    https://arxiv.org/abs/2204.06507
    Houlsby et al. (2011), Bayesian active learning (BALD): https://arxiv.org/abs/1112.5745
"""

from __future__ import annotations

import copy

import numpy as np

from seglab.bundle.input_statistics import pixel_entropy
from seglab.bundle.loader import Bundle

_NEIGHBOURS = 5
_ROWS = 4096


def drift_distances(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return how far images lie from those that the model was measured on.

    Args:
        features: `(n, F)`.
        reference: `(m, F)`.

    Returns:
        Mean distance to the five nearest images of the reference, `(n,)`, each feature in units of its
        standard deviation there.
    """
    known, own = scaled(reference, reference), scaled(features, reference)
    nearest = min(_NEIGHBOURS, len(known))
    found = np.empty(len(own))
    for start in range(0, len(own), _ROWS):
        rows = own[start : start + _ROWS]
        squares = (rows**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * rows @ known.T
        closest = np.partition(squares, nearest - 1, axis=1)[:, :nearest]
        found[start : start + _ROWS] = np.sqrt(np.maximum(closest, 0)).mean(1)
    return found


def scaled(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return features centred and in units of their standard deviation in the reference."""
    spread = reference.std(0)
    values: np.ndarray = (features - reference.mean(0)) / np.where(spread > 0, spread, 1)
    return values.astype(np.float64)


def member_disagreement(bundle: Bundle, image: np.ndarray) -> float:
    """Return how much the members of an ensemble disagree on an image, within 0 to 1.

    It is the mutual information of a pixel's class and the member asked: the entropy of their mean
    probabilities less the mean of their entropies, over its largest possible value; the mean of all pixels.

    Args:
        bundle: Of several networks.
        image: `(H, W, C)`, decoded.
    """
    size = image.shape[:2]
    total = np.zeros((len(bundle.class_names), *size), np.float32)
    spread = np.zeros(size, np.float32)
    for net in bundle.nets:
        member = copy.copy(bundle)
        member.nets = [net]
        shares = member.predict(image).probabilities
        total += shares
        spread += pixel_entropy(shares)
    members = len(bundle.nets)
    return float(np.mean(pixel_entropy(total / members) - spread / members))
