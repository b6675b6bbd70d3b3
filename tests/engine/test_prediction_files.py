from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.engine.step.prediction_files import PredictionFiles
from seglab.runs.predictions import probabilities_path, read_probabilities

LABELS = LabelSpace(("a", "b", "c"))


def _keep(folder: Path, probabilities: bool) -> torch.Tensor:
    logits = torch.randn(1, 3, 6, 7, generator=torch.Generator().manual_seed(0)) * 3
    files = PredictionFiles(folder, LABELS, probabilities)
    batch = {"mask": torch.zeros(1, 6, 7, dtype=torch.int64), "sample_id": ["x/1"]}
    files.update(batch, logits, logits.argmax(1).byte())  # type: ignore[arg-type]
    return logits.softmax(1)[0]


def test_probabilities_come_back_as_predicted(tmp_path: Path) -> None:
    truth = _keep(tmp_path, probabilities=True).numpy()
    read = read_probabilities(tmp_path, "x/1", 3)
    assert read is not None
    np.testing.assert_allclose(read, truth, atol=0.5 / 255 + 1e-6)


def test_without_them_the_rest_is_spread_over_the_other_classes(tmp_path: Path) -> None:
    truth = _keep(tmp_path, probabilities=False).numpy()
    read = read_probabilities(tmp_path, "x/1", 3)
    assert read is not None
    np.testing.assert_array_equal(read.argmax(0), truth.argmax(0))
    np.testing.assert_allclose(read.max(0), truth.max(0), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(read.sum(0), 1, atol=1e-6)
    assert read_probabilities(tmp_path, "x/2", 3) is None


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    _keep(tmp_path, probabilities=True)
    with pytest.raises(DataError, match="expected probabilities of 4 classes"):
        read_probabilities(tmp_path, "x/1", 4)
    probabilities_path(tmp_path, "x/1").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="is damaged"):
        read_probabilities(tmp_path, "x/1", 3)
