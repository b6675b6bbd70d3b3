"""Trials side by side: on one GPU by memory, pinned by CUDA_VISIBLE_DEVICES, or on several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from seglab.runs import RunRecord, load_runs

# Notes in each trial what it sees, and on a GPU whether it may take more than its part.
SEEN = """
    import json, os
    from pathlib import Path

    import pytorch_lightning as pl
    import torch


    class Note(pl.Callback):
        def on_train_start(self, trainer, module):
            seen = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "SEGLAB_GPU_SHARE")}
            if module.device.type == "cuda":
                seen["count"] = torch.cuda.device_count()
                try:
                    total = torch.cuda.get_device_properties(0).total_memory
                    torch.empty(int(0.6 * total), dtype=torch.uint8, device="cuda")
                    seen["more"] = True
                except torch.OutOfMemoryError:
                    seen["more"] = False
            Path(trainer.default_root_dir, "seen.json").write_text(json.dumps(seen))
"""


def _train(words: list[str], tmp_path: Path) -> str:
    (tmp_path / "seen_in_trials.py").write_text(textwrap.dedent(SEEN))
    done = subprocess.run(
        [sys.executable, "-m", "seglab.cli", "train", *words],
        capture_output=True,
        text=True,
        timeout=400,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_trials_share_one_device(device: str, tiny: list[str], tmp_path: Path) -> None:
    """Two at a time: on a GPU each with half of its memory, on a CPU each with half of the cores."""
    if device == "cpu" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core cannot be shared")
    words = [
        "-m",
        *tiny,
        "study=random",
        "study.n_trials=2",
        "trainer.max_epochs=1",
        "study.space={optimizer.lr: 'tag(log,interval(1e-4,1e-2))'}",
        "+callbacks.extra.note={_target_: seen_in_trials.Note}",
        "study.test=false",
    ]
    shared = ["hydra.launcher.trials_per_gpu=2"] if device == "cuda" else []
    _train([*words, "hydra.launcher.workers=2", *shared], tmp_path)
    runs = load_runs(tmp_path / "runs")
    trials = runs[runs["kind"] == "trial"]
    assert list(trials["status"]) == ["finished", "finished"]
    seen = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("seen.json")]
    assert len(seen) == 2
    if device == "cpu":
        assert all(one["CUDA_VISIBLE_DEVICES"] == "" for one in seen)
        return
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    for one in seen:
        assert one == {
            "CUDA_VISIBLE_DEVICES": first,
            "SEGLAB_GPU_SHARE": "0.5",
            "count": 1,
            "more": False,
        }


@pytest.mark.slow
def test_trials_on_two_processes_each(tmp_path: Path) -> None:
    """gloo on the CPU stands for NCCL on GPUs: the same processes, places and record."""
    from .conftest import TINY

    words = [
        "-m",
        *TINY,
        "trainer.accelerator=cpu",
        f"paths.runs_dir={tmp_path / 'runs'}",
        "study=random",
        "study.n_trials=1",
        "study.test=false",
        "trainer.devices=2",
        "trainer.max_epochs=1",
        "study.space={optimizer.lr: 'interval(1e-3,2e-3)'}",
        "hydra.launcher.devices_per_trial=2",
    ]
    _train(words, tmp_path)
    runs = load_runs(tmp_path / "runs")
    (trial,) = runs[runs["kind"] == "trial"]["run_dir"]
    record = RunRecord.open(Path(trial))
    assert record.status == "finished"
    assert record.read()["execution_plan"]["num_devices"] == 2
