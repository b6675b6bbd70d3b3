"""What a fold keeps of the images it held out: predictions, and pixels to fit a temperature on.

References:
    Guo et al. (2017): https://arxiv.org/abs/1706.04599
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seglab.core.disk.files import atomic_path
from seglab.core.labels import LabelSpace
from seglab.engine.loop.scorer import Scorer
from seglab.engine.step.evaluation import Evaluation, Observer
from seglab.engine.step.observers import ConfidenceObserver, Part, cross_calibrated_ece, pixels_of
from seglab.engine.step.prediction_files import PredictionFiles, ProbabilityFiles
from seglab.inference import TestTimeAugmentation, WholeImage
from seglab.metrics.confidence.calibration import fit_temperature

_PIXELS = "pixels.npz"


class OutOfFold:
    """Keeps predictions and a sample of pixels while the held-out images are scored.

    Args:
        run_dir: Folder of the fold.
        labels: Classes and ignored index.
        probabilities: Keep those of every class too.
    """

    def __init__(self, run_dir: Path, labels: LabelSpace, probabilities: bool = False) -> None:
        self.run_dir = run_dir
        self._confidence = ConfidenceObserver(labels)
        files = PredictionFiles(run_dir, labels, probabilities)
        self.observers: Sequence[Observer] = (files, self._confidence)

    def close(self, split: str) -> dict[str, float]:
        """Write the sample of pixels, if any is labelled; return calibration scores of the fold."""
        pixels = pixels_of(self._confidence.sample)
        if pixels is not None:
            logits, targets = pixels
            with atomic_path(self.run_dir / _PIXELS) as temporary, temporary.open("wb") as stream:
                np.savez(stream, logits=logits.numpy().astype(np.float16), targets=targets.numpy())
        return self._confidence.scores(split)


def keep_probabilities_of_views(run_dir: Path, scorer: Scorer, split: str) -> None:
    """Write the probabilities of a split, averaged over the views of `predict=tta`; no score changes."""
    net = scorer.trained.model
    views = TestTimeAugmentation(WholeImage(net, net.size_divisor, net.min_size))
    seen = replace(scorer, evaluation=Evaluation(predictor=views))
    seen.score(split, [ProbabilityFiles(run_dir)])


def calibrate_out_of_fold(
    folds: Sequence[tuple[Path, tuple[int, int]]], num_classes: int, split: str
) -> dict[str, float]:
    """Fit temperatures on what other folds held out (Guo et al., 2017).

    Args:
        folds: Folder, and repeat and number, of each fold. Held-out pixels are scaled by a
            temperature that was fitted on pixels of folds of the same repeat with another number,
            which share no image with it.
        num_classes: Number of classes.
        split: First part of the keys.

    Returns:
        `{split}/temperature` fitted on all, and `{split}/ece_calibrated`; NaN without pixels.
    """
    parts = [Part(_read(folder), place) for folder, place in folds if (folder / _PIXELS).is_file()]
    temperature = math.nan
    if parts:
        temperature = fit_temperature(
            torch.cat([part.pixels[0] for part in parts]),
            torch.cat([part.pixels[1] for part in parts]),
        )
    return {
        f"{split}/temperature": temperature,
        f"{split}/ece_calibrated": cross_calibrated_ece(parts, num_classes),
    }


def _read(folder: Path) -> tuple[Tensor, Tensor]:
    with np.load(folder / _PIXELS, allow_pickle=False) as content:
        return torch.from_numpy(content["logits"]).float(), torch.from_numpy(content["targets"])
