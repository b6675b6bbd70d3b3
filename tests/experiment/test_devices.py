"""Two processes train one model: the same integers as one process, one record, no orphan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seglab.runs import RunRecord


@pytest.mark.slow
def test_two_processes_score_the_same_integers_as_one(tiny: list[str], tmp_path: Path) -> None:
    """The history is scored by both processes, the final table by one, with the same weights."""
    # Groups of one image, so that the validation split has an odd number of images.
    words = [
        *tiny,
        "data.options.num_images=25",
        "data.options.frames_per_group=1",
        "data.options.val_fraction=0.2",
        "trainer.max_epochs=1",
        "trainer.devices=2",
        "logger=none",
        "loss=ce",
    ]
    command = [sys.executable, "-m", "seglab.cli", "train", *words]
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'two'}"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    record = RunRecord.open(tmp_path / "two")
    assert record.status == "finished"
    assert record.read()["execution_plan"]["num_devices"] == 2
    images = record.per_image()
    val = images[images["split"] == "val"]
    assert len(val) % 2 == 1
    assert val["sample_id"].is_unique
    row = record.history().iloc[-1]
    keys = [key for key in row.index if key.startswith("val/") and key != "val/loss"]
    assert len(keys) > 20
    for key in keys:
        assert row[key] == pytest.approx(record.metrics[key], abs=1e-12, nan_ok=True), key
    assert row["val/loss"] == pytest.approx(record.metrics["val/loss"], rel=1e-5)
    assert np.array_equal(np.stack(list(val["tp"])).sum(0), record.confusion("val").diagonal())
