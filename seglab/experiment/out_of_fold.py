"""What a fold keeps of the images it held out: predictions, and pixels to fit a temperature on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seglab.core.files import atomic_path
from seglab.core.labels import LabelSpace
from seglab.engine.evaluation import Observer
from seglab.engine.observers import ConfidenceObserver, cross_calibrated_ece
from seglab.engine.prediction_files import PredictionFiles
from seglab.metrics.calibration import fit_temperature

_PIXELS = "pixels.npz"


class OutOfFold:
    """Keeps predictions and a sample of pixels while the held-out images are scored.

    Args:
        run_dir: Folder of the fold.
        labels: Classes and ignored index.
    """

    def __init__(self, run_dir: Path, labels: LabelSpace) -> None:
        self.run_dir = run_dir
        self._confidence = ConfidenceObserver(labels)
        self.observers: Sequence[Observer] = (PredictionFiles(run_dir), self._confidence)

    def close(self, split: str) -> dict[str, float]:
        """Write the sample of pixels; return calibration scores of the fold."""
        logits, targets = self._confidence.sample.pixels()
        with atomic_path(self.run_dir / _PIXELS) as temporary, temporary.open("wb") as stream:
            np.savez(stream, logits=logits.numpy().astype(np.float16), targets=targets.numpy())
        return self._confidence.scores(split)


def calibrate_out_of_fold(
    fold_dirs: Sequence[Path], num_classes: int, split: str
) -> dict[str, float]:
    """Fit temperatures on what other folds held out (Guo et al., 2017).

    Args:
        fold_dirs: Folders of the folds; each held-out pixel is scaled by a temperature that was
            fitted on the pixels of the other folds.
        num_classes: Number of classes.
        split: First part of the keys.

    Returns:
        `{split}/temperature` fitted on all, and `{split}/ece_calibrated`.
    """
    parts = [_read(folder) for folder in fold_dirs]
    logits, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    return {
        f"{split}/temperature": fit_temperature(logits, targets),
        f"{split}/ece_calibrated": cross_calibrated_ece(parts, num_classes),
    }


def _read(folder: Path) -> tuple[Tensor, Tensor]:
    with np.load(folder / _PIXELS, allow_pickle=False) as content:
        return torch.from_numpy(content["logits"]).float(), torch.from_numpy(content["targets"])
