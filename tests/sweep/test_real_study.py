"""Whole studies of real trainings, as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seglab.analysis.study import load_trials
from seglab.config.language.grammar import literal_word
from seglab.runs import RunRecord, load_runs
from seglab.runs.locate import find_runs
from tests import training

TINY = [
    *training.TINY,
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "logger.wandb.mode=disabled",
    "experiment_name=e",
]
LR = "optimizer.lr=tag(log,interval(1e-3,1e-2))"


def train(runs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(runs, *words), capture_output=True, text=True, check=False, timeout=400
    )


def command(runs: Path, *words: str) -> list[str]:
    flags = [word for word in words if word.startswith(("-", "/"))]
    rest = [word for word in words if word not in flags]
    place = literal_word("paths.runs_dir", runs)
    return [sys.executable, "-m", "seglab.cli", "train", *flags, *TINY, *rest, place]


def metrics(run_dir: Path) -> dict[str, float]:
    return dict(RunRecord.open(run_dir).metrics)


@pytest.mark.slow
def test_a_study_from_the_first_trial_to_the_test_split(tmp_path: Path) -> None:
    words = (
        "-m",
        "study=default",
        LR,
        "study.n_trials=3",
        "study.confirm=2",
        "hydra.launcher.workers=2",
    )
    runs = tmp_path / "Mu\u0308 (1)" / "v=2, new: #&'\";!~[x]{y}$z%d"
    done = train(runs, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = runs / "e" / "default"

    trials = load_trials(folder)
    assert set(trials["state"]) <= {"finished", "pruned"}
    assert len(trials) == 3
    for run_dir in (folder / "trials").glob("*/run.json"):
        record = RunRecord.open(run_dir.parent)
        content = record.read()
        assert content["kind"] == "trial"
        assert content["parent"] == json.loads((folder / "study.json").read_text())["study_id"]
        # Nothing of the test split, in no trial.
        assert not [key for key in record.metrics if key.startswith("test/")]

    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["trials_considered"] == 3
    assert [one["seed"] for one in protocol["confirm"]] == [1, 2]
    assert all("test/miou" in one["test"] for one in protocol["confirm"])
    best = trials.set_index("number").loc[protocol["winner"]]
    assert protocol["best_value"] == pytest.approx(best["val/miou_present"])
    assert "is the best of 3 trials, so it is optimistic" in done.stdout
    for name in ("history", "timeline"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
        assert (folder / "figures" / f"{name}.html").is_file()
    assert "touched" in (folder / "report.md").read_text()

    # The same words again change nothing.
    again = train(runs, *words)
    assert again.returncode == 0, again.stderr
    assert (
        json.loads((folder / "protocol.json").read_text())["test_touched"]
        == (protocol["test_touched"])
    )
    assert len(find_runs(runs)) == 5

    # The best configuration is one that trains to the same score.
    (path,) = (folder / "best" / "experiment").glob("*.yaml")
    rerun = subprocess.run(
        [
            sys.executable,
            "-m",
            "seglab.cli",
            "train",
            "--config-dir",
            str(folder / "best"),
            f"experiment={path.stem}",
            f"paths.runs_dir={tmp_path / 'again'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert rerun.returncode == 0, rerun.stderr
    (repeated,) = find_runs(tmp_path / "again")
    assert metrics(repeated)["val/miou_present"] == pytest.approx(protocol["best_value"], abs=1e-12)


@pytest.mark.slow
def test_a_killed_study_gives_the_scores_of_one_that_was_not(tmp_path: Path) -> None:
    words = (
        "-m",
        "study=default",
        LR,
        "study.n_trials=3",
        "study.test=false",
        "trainer.max_epochs=4",
    )
    whole = train(tmp_path / "whole", *words)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    killed = subprocess.Popen(
        command(tmp_path / "killed", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    end = time.monotonic() + 200
    history = "e/default/trials/*-t0001/history.csv"
    while time.monotonic() < end and not list((tmp_path / "killed").glob(history)):
        assert killed.poll() is None, killed.stdout.read().decode()
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    again = train(tmp_path / "killed", *words)
    assert again.returncode == 0, again.stdout + again.stderr
    scores = [
        load_trials(tmp_path / name / "e" / "default").set_index("number")["val/miou_present"]
        for name in ("whole", "killed")
    ]
    assert scores[0].to_dict() == scores[1].to_dict()
    assert len(find_runs(tmp_path / "killed")) == 3


@pytest.mark.slow
def test_a_trial_can_be_a_cross_validation_pruned_fold_by_fold(tmp_path: Path) -> None:
    done = train(
        tmp_path,
        "-m",
        "study=cv_wilcoxon",
        "cv=kfold",
        "cv.folds=3",
        "cv.allow_leaks=true",
        "study.n_trials=2",
        "trainer.max_epochs=1",
        "study.space={optimizer.lr:'choice(1e-2,1e-9)'}",
        "study.enqueue=[{optimizer.lr:0.01},{optimizer.lr:1e-9}]",
        "study.pruner.p_threshold=0.9",
        "study.pruner.n_startup_steps=1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = load_runs(tmp_path)
    summaries = runs[runs["kind"] == "cv"].sort_values("run_id")
    assert list(summaries["status"]) == ["finished", "pruned"]
    folds = runs[runs["kind"] == "fold"]
    first, second = summaries["run_id"]
    assert (folds["parent"] == first).sum() == 3
    assert 1 <= (folds["parent"] == second).sum() < 3


@pytest.mark.slow
def test_a_grid_goes_on_though_a_job_fails(tmp_path: Path) -> None:
    done = train(
        tmp_path,
        "-m",
        "optimizer=sgd",
        "optimizer.lr=0.01,1e30,0.02",
        "trainer.max_epochs=1",
        "hydra.launcher.workers=2",
    )
    assert done.returncode == 1
    assert "1 of 3 jobs failed" in done.stderr
    assert "job 1 (optimizer.lr=1e+30): TrainingError: the loss became" in done.stderr
    statuses = [RunRecord.open(run).status for run in find_runs(tmp_path)]
    assert sorted(statuses) == ["failed", "finished", "finished"]
    assert {RunRecord.open(run).read()["kind"] for run in find_runs(tmp_path)} == {"train"}
