"""Every training is a W&B run of its own, closed with the right status; read back, not trusted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import TrainingError
from seglab.experiment.train import train
from seglab.runs import RunRecord, find_runs

pytestmark = pytest.mark.skipif(
    shutil.which("wandb") is None and not (Path(sys.executable).parent / "wandb").exists(),
    reason="the wandb command is not installed",
)


def _read(run_dir: Path) -> dict[str, Any]:
    """Return id, exit code, config and summary keys of the one offline run of a record."""
    (file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    wandb = Path(sys.executable).parent / "wandb"
    shown = subprocess.run(
        [str(wandb), "leet", "inspect", "--json", str(file)],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    found: dict[str, Any] = {"text": shown}
    records = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    for record in records:
        for kind, content in record.items():
            if isinstance(content, dict):
                found.setdefault(kind, []).append(content)
    return found


def test_multirun_gives_each_job_its_own_closed_run(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "trainer.max_epochs=1", "seed=0,1", "logger.wandb.mode=offline"]
    command = [sys.executable, "-m", "seglab.cli", "train", "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = find_runs(tmp_path / "runs")
    assert len(runs) == 2
    records = [RunRecord.open(run_dir) for run_dir in runs]
    assert {record.read()["seed"] for record in records} == {0, 1}
    ids = {record.read()["wandb"]["id"] for record in records}
    assert len(ids) == 2
    for record in records:
        found = _read(record.run_dir)
        assert record.run_id in found["text"]
        assert "val/miou" in found["text"]
        assert "overlays/val" in found["text"]
        assert "SegNetBasic" in found["text"]  # the architecture, for parallel coordinates
        assert "tables/classes" in found["text"]
        assert "exit_code" in found["text"]


def test_run_that_raises_is_closed_as_failed(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "optimizer=sgd", "optimizer.lr=1e20", "logger.wandb.mode=offline"]
    with pytest.raises(TrainingError):
        train(compose(words), tmp_path / "run", Console(quiet=True))
    found = _read(tmp_path / "run")
    assert '"exit_code": 1' in found["text"] or '"exit_code":1' in found["text"]
    assert "failed" in found["text"]
