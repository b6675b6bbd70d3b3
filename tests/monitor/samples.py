"""Samples drawn for tests of the monitor: a stream whose images resemble those before them."""

from __future__ import annotations

import numpy as np

from seglab.monitor.samples import Sample

CLASSES = 3


def video(count: int, seed: int, likeness: float = 0.8, shift: float = 0.0) -> Sample:
    """Return a stream of an autoregressive process, its statistics correlated with each other too.

    Args:
        count: Images.
        seed: Of what is drawn.
        likeness: Correlation with the image before.
        shift: Added to each brightness, in standard deviations.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, 6)) * np.sqrt(1 - likeness**2)
    noise[0] /= np.sqrt(1 - likeness**2)
    for place in range(1, count):
        noise[place] += likeness * noise[place - 1]
    mixed = noise @ (np.eye(6) + 0.3)
    shares = np.exp(mixed[:, :CLASSES] * 0.3)
    statistics = {
        "channel_mean": 100 + 15 * (mixed[:, 3:] + shift),
        "sharpness": 0.2 + 0.02 * mixed[:, 0],
        "confidence": 1 / (1 + np.exp(-2 - 0.3 * mixed[:, 1])),
        "class_shares": shares / shares.sum(1, keepdims=True),
    }
    features = np.tanh(mixed @ rng.standard_normal((6, 8)))
    return Sample(statistics, features, np.full(count, ""), np.arange(count, dtype=np.float64))
