"""A run that is killed anywhere and resumed ends with the bits of one that never stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.experiment.train import resume, train
from seglab.runs import RunRecord

# Dropout, moving averages and momentum: all state that a careless resume would lose.
STATEFUL = [
    "trainer.max_epochs=3",
    "callbacks.checkpoint.every_n_steps=1",
    "trainer.ema_decay=0.9",
    "augment=strong",
    "optimizer=adamw",
]


def _weights(run_dir: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["current_model_state"] | {
        f"average.{key}": value for key, value in checkpoint["state_dict"].items()
    }


def _same(first: Path, second: Path) -> bool:
    one, other = _weights(first), _weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _start(overrides: list[str], run_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "seglab.cli", "train", *overrides, f"hydra.run.dir={run_dir}"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    )


def _wait_for_step(process: subprocess.Popen[str], run_dir: Path, step: int) -> None:
    """Wait until the checkpoint on disk is at least at a step; ends with the process too."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"ended before step {step}:\n{process.communicate()[0]}")
        path = run_dir / "checkpoints" / "last.ckpt"
        if path.is_file() and torch.load(path, weights_only=True)["global_step"] >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"no step {step} in two minutes")


@pytest.fixture
def whole(tiny: list[str], tmp_path: Path) -> Path:
    """The same training, never stopped."""
    return train(compose([*tiny, *STATEFUL]), tmp_path / "whole", Console(quiet=True)).run_dir


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 5])
def test_killed_and_resumed_is_the_same_bits(
    tiny: list[str], tmp_path: Path, whole: Path, step: int
) -> None:
    run_dir = tmp_path / "killed"
    process = _start([*tiny, *STATEFUL], run_dir)
    _wait_for_step(process, run_dir, step)
    process.kill()
    process.wait()
    record = RunRecord.open(run_dir)
    if record.read()["status"] != "running":
        pytest.fail("the run ended before it was killed; make it longer")
    assert record.effective_status == "interrupted"

    result = resume(run_dir, Console(quiet=True))

    assert result.status == "finished"
    assert _same(run_dir, whole)
    history, straight = RunRecord.open(run_dir).history(), RunRecord.open(whole).history()
    columns = [column for column in straight if column != "seconds"]
    assert history[columns].equals(straight[columns])
    assert RunRecord.open(run_dir).read()["resumed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_saves_and_says_interrupted(
    tiny: list[str], tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    run_dir = tmp_path / "stopped"
    process = _start([*tiny, *STATEFUL, "callbacks.checkpoint.every_n_steps=2"], run_dir)
    _wait_for_step(process, run_dir, 2)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    asked, stopped = "Ctrl-C again stops at once\n", f"stopped by {number.name} at step"
    assert 0 <= output.find(asked) < output.find(stopped)
    assert f"; go on with: seglab train resume={run_dir}\n" in output
    assert RunRecord.open(run_dir).status == "interrupted"
    assert resume(run_dir, Console(quiet=True)).status == "finished"
    assert _same(run_dir, whole)


@pytest.mark.slow
def test_running_elsewhere_is_refused(tiny: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "running"
    process = _start([*tiny, *STATEFUL, "trainer.max_epochs=30"], run_dir)
    try:
        _wait_for_step(process, run_dir, 1)
        with pytest.raises(ConfigError, match="is being trained by process"):
            resume(run_dir)
    finally:
        process.kill()
        process.communicate()


def test_wrong_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        resume(tmp_path)


@pytest.mark.slow
def test_a_finished_run_goes_on_as_one_that_was_planned_longer(
    tiny: list[str], tmp_path: Path
) -> None:
    words = [*tiny, "scheduler=constant", "trainer.max_epochs=1"]
    run_dir = train(compose(words), tmp_path / "short", Console(quiet=True)).run_dir
    with pytest.raises(ConfigError, match=r"is finished.*trainer\.max_epochs=N it goes on"):
        resume(run_dir)
    with pytest.raises(ConfigError, match="expected more than the 1 epochs"):
        resume(run_dir, max_epochs=1)

    assert resume(run_dir, Console(quiet=True), max_epochs=2).status == "finished"
    # Stopped in its last evaluation, say: the same words take it up again.
    RunRecord.open(run_dir).update(status="interrupted")
    assert resume(run_dir, Console(quiet=True), max_epochs=2).status == "finished"

    longer = compose([*tiny, "scheduler=constant", "trainer.max_epochs=2"])
    whole = train(longer, tmp_path / "long", Console(quiet=True)).run_dir
    checkpoints = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run_dir, whole)
    ]
    assert all(torch.equal(checkpoints[0][name], checkpoints[1][name]) for name in checkpoints[1])
    content = RunRecord.open(run_dir).read()
    assert content["extended"] == [{"step": 4, "from_epochs": 1, "to_epochs": 2}]
    assert content["config"]["trainer"]["max_epochs"] == 2
    assert len(RunRecord.open(run_dir).history()) == 2
