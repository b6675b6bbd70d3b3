"""One predicted sample as figures and trackers show it.

It lives here, below both, because `analysis` and `engine` may not import each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.core.errors import ShapeError


@dataclass(frozen=True)
class SamplePrediction:
    """An image with what it shows and what the model saw in it.

    Args:
        sample_id: Name of the sample in the manifest.
        image: uint8 RGB `(H, W, 3)`, not normalised. May have another size than the masks;
            those who show it resize the image, never the masks.
        mask: Integer `(Hm, Wm)`, class indices or the ignored index.
        prediction: Integer `(Hm, Wm)`, class indices. Ignored pixels carry a prediction too.

    Raises:
        ShapeError: An array has another shape or dtype.
    """

    sample_id: str
    image: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray

    def __post_init__(self) -> None:
        problems = []
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            problems.append(
                f"image: expected uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}"
            )
        for name, array in (("mask", self.mask), ("prediction", self.prediction)):
            if array.ndim != 2 or array.dtype.kind not in "iu":
                problems.append(
                    f"{name}: expected integers (H, W), got {array.dtype} {array.shape}"
                )
        if self.mask.shape != self.prediction.shape:
            problems.append(
                f"mask {self.mask.shape} and prediction {self.prediction.shape} differ in size"
            )
        if problems:
            raise ShapeError(f"sample {self.sample_id!r}: " + "; ".join(problems))
