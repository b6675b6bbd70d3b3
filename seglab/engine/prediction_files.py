"""Keeps what a model predicted for each image, as files others can read: out-of-fold predictions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from seglab.core.errors import DataError
from seglab.core.files import atomic_path
from seglab.engine.batches import Batch
from seglab.runs.predictions import confidence_path, prediction_path


class PredictionFiles:
    """Writes a class mask and a confidence picture for every scored image; an `Observer`.

    Both are at the size of the mask; see `prediction_path` and `confidence_path`.

    Args:
        run_dir: Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Write the files of one batch; see `Observer`."""
        masks = pred_mask.cpu().numpy()
        for sample_id, mask, image_logits in zip(batch["sample_id"], masks, logits, strict=True):
            confidence = image_logits.float().softmax(0).amax(0).mul(255).round().byte()
            write_png(prediction_path(self.run_dir, sample_id), mask)
            write_png(confidence_path(self.run_dir, sample_id), confidence.cpu().numpy())


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
