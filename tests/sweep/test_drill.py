"""The fault drill: trials die in every way there is, the controller too, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from seglab.analysis.study import load_trials
from seglab.runs.studies.study import ATTEMPTS, StudyFolder
from seglab.runs.studies.study_storage import open_study
from tests.sweep.drill.running import command, environment, noted, run

pytestmark = pytest.mark.slow

RAISES, NAN, HANGS, OUT_OF_MEMORY, KILLED, BEST = 3, 5, 7, 9, 11, 16
TRIALS = 20
WAIT_S = 120.0
WORDS = (
    "hydra.launcher.workers=2",
    "hydra.launcher.memory_gb=1.5",
    "study.trial_timeout_s=5",
    "seconds=0.3",
)


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(folder, *words),
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )


def hears_ctrl_c() -> None:
    """A test that was itself started in the background would have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_until(folder: Path, what: str, count: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WAIT_S
    while sum(noted(folder, what).values()) < count and time.monotonic() < end:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.05)


@dataclass
class Drilled:
    """What was recorded when the controller was killed, and how often each trial had begun."""

    folder: Path
    recorded: set[int]
    starts: Counter[int]


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    """A study whose controller was killed with kill -9 in the middle and started again."""
    # Nothing in the name of a folder is to matter.
    folder = tmp_path_factory.mktemp("drill") / "Mu\u0308 (1)" / "v=2, new: #&'\";!~[x]{y}$z%d"
    folder.mkdir(parents=True)
    first = start(folder, *WORDS)
    wait_until(folder, "ends", 8, first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = open_study(StudyFolder(folder / "drill")).trials
    recorded = {one.params["x"] for one in before if one.state.is_finished()}
    found = Drilled(folder, recorded, noted(folder, "starts"))
    second = run(folder, *WORDS)
    assert second.returncode == 0, second.stdout + second.stderr
    return found


@pytest.fixture(scope="module")
def drilled(drill: Drilled) -> Path:
    return drill.folder


def test_every_trial_is_accounted_for(drilled: Path) -> None:
    trials = load_trials(drilled / "drill")
    assert len(trials) == TRIALS
    assert sorted(trials["number"]) == list(range(TRIALS))
    assert sorted(trials["params.x"].astype(int)) == list(range(TRIALS))
    ends = dict(zip(trials["params.x"].astype(int), trials["state"], strict=True))
    failed = {RAISES, NAN, HANGS, OUT_OF_MEMORY}
    assert {x for x, state in ends.items() if state == "failed"} == failed
    assert {x for x, state in ends.items() if state == "finished"} == set(range(TRIALS)) - failed


def test_failures_say_why(drilled: Path) -> None:
    trials = load_trials(drilled / "drill").set_index("params.x")
    assert trials.loc[RAISES, "reason"] == "exception"
    assert trials.loc[RAISES, "error"] == "ValueError: no such thing"
    assert trials.loc[NAN, "reason"] == "nan"
    assert trials.loc[HANGS, "reason"] == "timeout"
    assert trials.loc[OUT_OF_MEMORY, "reason"] == "out_of_memory"
    study = open_study(StudyFolder(drilled / "drill"))
    raised = next(trial for trial in study.trials if trial.params["x"] == RAISES)
    assert "ValueError: no such thing" in raised.user_attrs["traceback"]


def test_no_trial_that_had_ended_was_run_again(drill: Drilled) -> None:
    starts, ends = noted(drill.folder, "starts"), noted(drill.folder, "ends")
    assert len(drill.recorded) >= 6
    assert {x: starts[x] for x in drill.recorded} == {x: drill.starts[x] for x in drill.recorded}
    assert set(ends) == set(range(TRIALS)) - {RAISES, NAN, HANGS, OUT_OF_MEMORY}
    # Begun twice: the one that was killed, and what ran when the controller was.
    study = open_study(StudyFolder(drill.folder / "drill"))
    attempts = {trial.params["x"]: len(trial.user_attrs[ATTEMPTS]) for trial in study.trials}
    # A controller may die between taking a trial and starting its process.
    assert all(1 <= starts[x] <= count for x, count in attempts.items())
    again = {x for x, count in attempts.items() if count > 1}
    assert KILLED in again
    assert len(again - {KILLED}) <= 2
    assert {x for x, count in ends.items() if count > 1} <= again


def test_the_best_value_is_right(drilled: Path) -> None:
    study = open_study(StudyFolder(drilled / "drill"))
    assert study.best_trial.params["x"] == BEST
    assert study.best_value == pytest.approx(1.0)


def test_the_finished_study_is_not_run_again(drilled: Path) -> None:
    before = noted(drilled, "starts")
    again = run(drilled, *WORDS)
    assert again.returncode == 0, again.stderr
    assert "(resumed)" in again.stdout
    assert noted(drilled, "starts") == before


def test_it_is_not_gone_on_with_by_who_asks_for_something_else(drilled: Path) -> None:
    other = run(drilled, "seconds=0.4")
    assert other.returncode == 2
    assert "seconds: 0.3 before, 0.4 now" in other.stderr
    assert "study.name" in other.stderr


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "hydra.launcher.workers=2", "study.fail_fast=true", "seconds=0.1")
    assert done.returncode == 1
    assert "ValueError: no such thing" in done.stderr
    assert "study.fail_fast" in done.stderr
    assert len(noted(tmp_path, "starts")) < 8


def test_a_study_of_failures_is_given_up(tmp_path: Path) -> None:
    done = run(tmp_path, *WORDS, "study.max_failure_rate=0.2", "study.n_trials=8")
    assert done.returncode == 1
    assert "study.max_failure_rate=0.2" in done.stderr
    assert sum(noted(tmp_path, "starts").values()) < 8


def test_ctrl_c_releases_the_trials_and_the_same_command_resumes(tmp_path: Path) -> None:
    words = ("hydra.launcher.workers=2", "study.n_trials=3", "seconds=0.5")
    first = start(tmp_path, *words)
    wait_until(tmp_path, "starts", 1, first)
    os.kill(first.pid, signal.SIGINT)
    output = first.communicate(timeout=60)[0].decode()
    assert first.returncode == 130, output
    again = run(tmp_path, *words)
    assert again.returncode == 0, again.stderr
    assert "the same command resumes" in output
    assert (load_trials(tmp_path / "drill")["state"] == "finished").sum() == 3
