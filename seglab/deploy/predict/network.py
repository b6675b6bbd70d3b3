"""From decoded images to class indices, by the shortest way that the bundle allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seglab.bundle.loader import Bundle, argmax, pad


class Scores(NamedTuple):
    """What the network says of an image.

    Attributes:
        mask: uint8 `(H, W)`, class indices.
        probabilities: float32 `(classes, H, W)`; None where nobody asked for them.
    """

    mask: np.ndarray
    probabilities: np.ndarray | None


def predict_alike(
    bundle: Bundle, images: Sequence[np.ndarray], with_probabilities: bool
) -> list[Scores]:
    """Predict decoded images `(H, W, channels)` of one size, together.

    Without probabilities, and where the bundle sees an image once and whole, the class of the largest
    logit is all that is needed: the same class as that of the largest probability.
    """
    if with_probabilities or not _is_plain(bundle):
        found = bundle.predict_batch(images)
        return [
            Scores(one.mask, one.probabilities if with_probabilities else None) for one in found
        ]
    height, width = images[0].shape[:2]
    batch = np.stack([image.transpose(2, 0, 1) for image in images]).astype(np.float32)
    logits, _ = bundle.run(pad(batch, *padded_size(bundle, height, width)))
    return [Scores(mask, None) for mask in argmax(logits[..., :height, :width])]


def padded_size(bundle: Bundle, height: int, width: int) -> tuple[int, int]:
    """Return the size at which the network takes an image."""
    accepts = bundle.info["input"]
    divisor, least = accepts["size_divisor"], accepts["min_size"]
    tall, wide = (-(-max(side, least) // divisor) * divisor for side in (height, width))
    return tall, wide


def _is_plain(bundle: Bundle) -> bool:
    views = bundle.info["predict"]
    return (
        bundle.window is None
        and bundle.info["input"]["image_size"] is None
        and len(bundle.info["variants"][bundle.variant]) == 1
        and not views["flips"]
        and views["scales"] == [1.0]
    )
