"""Trials whose process is killed, or that train on several: nothing is lost and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.engine.device.slots import Slot
from seglab.experiment import cross_validate as cv_module
from seglab.experiment.launch import launch_trial
from seglab.experiment.train import TrainResult
from seglab.runs import RunRecord, find_runs
from tests.listening import Channel

QUIET = Console(quiet=True)


# A trial in a process of its own, as a study starts it; what it says goes to a file.
SCRIPT = """
import json, sys
from pathlib import Path
from rich.console import Console
from seglab.config.compose import compose
from seglab.core.trial import TrialPrunedError
from seglab.experiment.launch import launch_trial

class Channel:
    study, number = "lr-0a1b2c", 7
    def report(self, value, step):
        with open(sys.argv[2], "a") as stream:
            stream.write(json.dumps([step, value]) + "\\n")
        return step == int(sys.argv[3])
    def progress(self, **facts):
        pass

try:
    launch_trial(compose(sys.argv[4:]), Path(sys.argv[1]), Channel(), Console(quiet=True))
except TrialPrunedError as error:
    print("pruned:", error, flush=True)
"""


def _start(run_dir: Path, reports: Path, words: list[str], stop_at: int = -1) -> Any:
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(SCRIPT),
        str(run_dir),
        str(reports),
        str(stop_at),
    ]
    return subprocess.Popen(
        [*command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def _read(reports: Path) -> list[tuple[int, float]]:
    return [tuple(json.loads(line)) for line in reports.read_text().splitlines()]


def _wait_until(condition: Any, process: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended early:\n{process.communicate()}")
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def _launch(words: list[str], run_dir: Path, channel: Channel) -> TrainResult:
    return launch_trial(compose(words), run_dir, channel, QUIET)


@pytest.mark.slow
def test_killed_and_taken_up_is_the_same_trial(tiny: list[str], tmp_path: Path) -> None:
    words = [
        *tiny,
        "trainer.max_epochs=5",
        "logger=none",
        "callbacks.checkpoint.every_n_steps=1",
        "trainer.ema_decay=0.9",
        "augment=strong",
    ]
    straight = Channel()
    whole = _launch(words, tmp_path / "whole", straight)
    run_dir, said = tmp_path / "killed", tmp_path / "said"
    process = _start(run_dir, said, words)
    _wait_until(lambda: said.is_file() and len(_read(said)) >= 2, process)
    process.kill()
    process.communicate()
    assert RunRecord.open(run_dir).effective_status == "interrupted"

    rest = Channel()
    result = _launch(words, run_dir, rest)

    assert result.status == "finished"
    assert RunRecord.open(run_dir).read()["resumed"] == 1
    # Each epoch once; one whose checkpoint was not written yet was trained, and said, again.
    heard = _read(said) + rest.reports
    assert len(heard) - len(straight.reports) in (0, 1)
    assert dict(heard) == dict(straight.reports)
    weights = [
        torch.load(one / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for one in (whole.run_dir, run_dir)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    scores = [key for key in whole.metrics if not key.startswith("cost/")]
    assert {key: result.metrics[key] for key in scores} == pytest.approx(
        {key: whole.metrics[key] for key in scores}, abs=0, nan_ok=True
    )


@pytest.mark.slow
def test_all_ranks_leave_a_pruned_trial_together(tiny: list[str], tmp_path: Path) -> None:
    words = [
        *tiny,
        "trainer.devices=2",
        "logger=none",
        "trainer.max_epochs=200",
        "loss=ce",
        "data.eval_batch_size=2",
    ]
    said = tmp_path / "said"
    process = _start(tmp_path / "t", said, words, stop_at=1)
    _wait_until(lambda: said.is_file() and len(_read(said)) == 2, process, 300)
    ranks = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("pruned: given up by its study after epoch 1")
    assert "rank process" not in err
    assert "Traceback" not in err
    assert time.monotonic() - started < 30
    assert ranks
    assert not [rank for rank in ranks if rank.is_running()]
    record = RunRecord.open(tmp_path / "t")
    assert record.status == "pruned"
    assert record.read()["execution_plan"]["num_devices"] == 2
    assert record.history()["epoch"].tolist() == [0, 1]


@pytest.mark.slow
def test_folds_end_with_a_killed_trial_and_are_taken_up(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv_module, "_slots", lambda cfg: [Slot("one"), Slot("two")])
    words = [
        *tiny,
        "cv=grouped",
        "cv.folds=2",
        "trainer.max_epochs=40",
        "logger=none",
        "metrics.train_images=0",
    ]
    run_dir, said = tmp_path / "t", tmp_path / "said"
    script = "import seglab.experiment.cross_validate as cv\nfrom seglab.engine.device.slots import Slot\n"
    script += "cv._slots = lambda cfg: [Slot('one'), Slot('two')]\n" + textwrap.dedent(SCRIPT)
    command = [sys.executable, "-c", script, str(run_dir), str(said), "-1", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait_until(lambda: len(list(run_dir.glob("folds/*/checkpoints/last.ckpt"))) == 2, process, 300)
    # The server, and the folds that it forked.
    folds = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    # At once: the folds may still be on their way out, and are waited for.
    channel = Channel(stop_at=99)
    result = _launch(words, run_dir, channel)
    assert result.status == "finished"
    assert sorted(step for step, _ in channel.reports) == [0, 1]
    assert len(folds) == 3
    assert not [fold for fold in folds if fold.is_running()]
    assert [RunRecord(path).read()["resumed"] for path in find_runs(run_dir / "folds")] == [1, 1]
