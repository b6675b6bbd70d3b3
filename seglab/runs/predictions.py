"""One predicted sample as figures and trackers show it.

It lives here, below both, because `analysis` and `engine` may not import each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from seglab.core.errors import ShapeError

PREDICTIONS = "predictions"
# With `.confidence.png` the 255 bytes at which file systems end names.
_MOST_LETTERS, _BEGINNING = 240, 220


def prediction_path(run_dir: Path, sample_id: str) -> Path:
    """Return where a run keeps the class indices it predicted for a sample, a PNG with palette."""
    return run_dir / PREDICTIONS / f"{_file_name(sample_id)}.png"


def confidence_path(run_dir: Path, sample_id: str) -> Path:
    """Return where a run keeps the probability of the predicted class times 255, a grey PNG."""
    return run_dir / PREDICTIONS / f"{_file_name(sample_id)}.confidence.png"


def _file_name(sample_id: str) -> str:
    """Return an id as one readable file name: ids may hold slashes and anything else."""
    name = quote(sample_id, safe="")
    if len(name) <= _MOST_LETTERS:
        return name
    # A letter beyond ASCII takes 6 to 12 when quoted, so names of moderate length come here.
    return f"{name[:_BEGINNING]}-{hashlib.sha256(sample_id.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class SamplePrediction:
    """An image with what it shows and what the model saw in it.

    Args:
        sample_id: Name of the sample in the manifest.
        image: uint8 RGB `(H, W, 3)`, not normalised. May have another size than the masks;
            those who show it resize the image, never the masks.
        mask: Integer `(Hm, Wm)`, class indices or the ignored index.
        prediction: Integer `(Hm, Wm)`, class indices. Ignored pixels carry a prediction too.
        confidence: Float `(Hm, Wm)` in [0, 1], probability of the predicted class; None: not kept.
        shows: What `image` shows where that is not the image itself, such as `bands 4, 3, 2`.

    Raises:
        ShapeError: An array has another shape or dtype.
    """

    sample_id: str
    image: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray | None = None
    shows: str = ""

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
