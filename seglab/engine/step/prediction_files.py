"""Keeps what a model predicted for each image, as files that others can read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from seglab.core.disk.files import atomic_path
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.engine.step.batches import Batch
from seglab.runs.predictions import confidence_path, prediction_path, write_probabilities


class PredictionFiles:
    """Writes a class mask and a confidence picture for every scored image; an `Observer`.

    Both are at the size of the mask; see `prediction_path` and `confidence_path`. Ignored pixels
    carry a prediction too.

    Args:
        run_dir: Folder of the run.
        labels: Its colours become the palette of the masks.
        probabilities: Write those of every class too; see `probabilities_path`.
    """

    def __init__(self, run_dir: Path, labels: LabelSpace, probabilities: bool = False) -> None:
        self.run_dir = run_dir
        self.probabilities = probabilities
        self.palette = labels.palette

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Write the files of one batch; see `Observer`."""
        masks = pred_mask.cpu().numpy()
        for sample_id, mask, image_logits in zip(batch["sample_id"], masks, logits, strict=True):
            shares = _shares(image_logits)
            write_mask(prediction_path(self.run_dir, sample_id), mask, self.palette)
            write_png(confidence_path(self.run_dir, sample_id), shares.max(axis=0))
            if self.probabilities:
                write_probabilities(self.run_dir, sample_id, shares)


class ProbabilityFiles:
    """Writes the probabilities of every scored image alone; an `Observer`.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Write the files of one batch; see `Observer`."""
        for sample_id, image_logits in zip(batch["sample_id"], logits, strict=True):
            write_probabilities(self.run_dir, sample_id, _shares(image_logits))


def _shares(logits: Tensor) -> np.ndarray:
    """Return the probabilities of logits `(C, H, W)` times 255, rounded, uint8."""
    return np.asarray(logits.float().softmax(0).mul(255).round().byte().cpu().numpy())


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 `(H, W)` or RGB `(H, W, 3)` in one step.

    Raises:
        DataError: It is no picture.
    """
    order = picture[..., ::-1] if picture.ndim == 3 else picture
    done, encoded = cv2.imencode(".png", order)
    if not done:
        raise DataError(f"cannot write {path}: {picture.dtype} {picture.shape} is no PNG")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
