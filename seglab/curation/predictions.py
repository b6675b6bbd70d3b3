"""What a run predicted for images it was not trained on, by sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seglab.core.errors import DataError, RunNotFoundError
from seglab.data.folds.plan import FoldPlan
from seglab.data.manifest import Manifest
from seglab.runs.folds import model_dirs
from seglab.runs.predictions import PREDICTIONS, read_probabilities

_PLAN = "folds.parquet"


def kept_predictions(run_dir: Path, manifest: Manifest) -> Callable[[str], np.ndarray | None]:
    """Return a function from sample_id to probabilities float32 `(C, H, W)`, None where none were kept.

    Args:
        run_dir: A cross-validation, whose folds keep what they predicted for held-out images, or an
            evaluation with `save_predictions` or, better, `save_probabilities`. Over repeats the mean
            is taken.
        manifest: Of the data.

    Raises:
        RunNotFoundError: There is no such folder.
        DataError: It holds no predictions, or is a cross-validation that is not finished.
    """
    if not run_dir.is_dir():
        raise RunNotFoundError(f"--run: there is no folder {run_dir}")
    folders = [place for place in model_dirs(run_dir) if (place / PREDICTIONS).is_dir()]
    if not folders:
        raise DataError(
            f"--run: {run_dir} kept no predictions; give a cross-validation, or evaluate the run with "
            "save_probabilities=true and give that evaluation"
        )
    num_classes = manifest.labels.num_classes

    def of(sample_id: str) -> np.ndarray | None:
        found = [read_probabilities(place, sample_id, num_classes) for place in folders]
        kept = [one for one in found if one is not None]
        same = [one for one in kept if one.shape == kept[0].shape]
        return np.asarray(np.mean(same, axis=0, dtype=np.float32)) if same else None

    return of


def recorded_folds(run_dir: Path) -> FoldPlan | None:
    """Return the folds of a cross-validation; None for another run."""
    return FoldPlan.read(run_dir / _PLAN) if (run_dir / _PLAN).is_file() else None
