"""Several controllers on one study, in processes of their own, and some of them killed."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from seglab.runs.studies.study import ATTEMPTS, RUN_DIR, WORDS, StudyFolder
from seglab.runs.studies.study_storage import open_study

SCRIPT = Path(__file__).parents[1] / "controller_process.py"
Start = Callable[..., ForkProcess]


def _serve(folder: Path, options: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("controller_process", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.serve(folder, options)


@pytest.fixture(params=["journal", pytest.param("postgresql", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest, folder: StudyFolder) -> str:
    """Text of a storage that nobody has used yet."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"journal:{folder.journal_path}"


@pytest.fixture
def start(folder: StudyFolder, storage: str, tmp_path: Path) -> Iterator[Start]:
    """Starts controllers of one study; all write their starts and ends to `lines.txt`."""
    folder.write({**folder.read(), "storage": storage})
    started: list[ForkProcess] = []

    def run(**options: Any) -> ForkProcess:
        words = {
            "controller": f"c{len(started)}",
            "storage": storage,
            "grace_s": 20.0,
            "log": str(tmp_path / "lines.txt"),
            **options,
        }
        # Forked, because a new interpreter needs longer to start than the whole study.
        process = multiprocessing.get_context("fork").Process(
            target=_serve, args=(folder.path, words)
        )
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.join()


def _end(*controllers: ForkProcess) -> None:
    """Wait for controllers to end by themselves."""
    for controller in controllers:
        controller.join(240)
        assert controller.exitcode == 0


def _lines(tmp_path: Path, what: str) -> list[tuple[int, int, str]]:
    path = tmp_path / "lines.txt"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(n), int(attempt), who) for kind, n, attempt, who in lines if kind == what]


def _require_all_accounted(folder: StudyFolder, count: int) -> None:
    """Check that every trial of the budget ended once, and never ran at two places at a time."""
    trials = open_study(folder).trials
    assert [trial.number for trial in trials] == list(range(count))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for trial in trials:
        facts = trial.user_attrs
        assert facts[RUN_DIR] == f"trials/demo-abc123-t{trial.number:04d}"
        assert facts[WORDS] == [f"{name}={value!r}" for name, value in trial.params.items()]
        endings = [attempt["ending"] for attempt in facts[ATTEMPTS]]
        assert endings == ["abandoned"] * (len(endings) - 1) + ["finished"]
        for before, after in zip(facts[ATTEMPTS], facts[ATTEMPTS][1:], strict=False):
            assert before["ended"] <= after["started"]


def test_two_controllers_run_each_trial_once(
    start: Start, folder: StudyFolder, tmp_path: Path
) -> None:
    _end(start(reports=1), start(reports=1))
    starts = _lines(tmp_path, "start")
    assert sorted(number for number, _, _ in starts) == list(range(60))
    assert {attempt for _, attempt, _ in starts} == {1}
    shares = Counter(who for _, _, who in starts)
    assert min(shares["c0"], shares["c1"]) > 5, "both took part"
    assert sorted(_lines(tmp_path, "end")) == sorted(starts)
    _require_all_accounted(folder, 60)


def test_a_learning_sampler_proposes_no_point_twice(start: Start, folder: StudyFolder) -> None:
    tpe = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 5, "constant_liar": True}
    _end(*(start(sampler=tpe, n_trials=24) for _ in range(3)))
    _require_all_accounted(folder, 24)
    assert len({tuple(trial.params.values()) for trial in open_study(folder).trials}) == 24


def test_killed_controllers_lose_and_double_nothing(
    start: Start, folder: StudyFolder, tmp_path: Path
) -> None:
    moments = random.Random(3)
    steady = start(trial_s=0.02, reports=2)
    kills = 0
    while steady.is_alive() and kills < 12:
        victim = start(trial_s=0.02, reports=2)
        time.sleep(moments.uniform(0.1, 0.4))
        kills += victim.is_alive()
        victim.kill()
        victim.join()
    _end(steady)
    assert kills >= 3
    _require_all_accounted(folder, 60)
    ends = Counter(number for number, _, _ in _lines(tmp_path, "end"))
    assert set(ends) == set(range(60))
    # A trial ended twice only where a kill came before its result was written down.
    assert sum(count - 1 for count in ends.values()) <= kills


def test_a_study_whose_only_controller_is_killed_again_and_again_gets_done(
    start: Start, folder: StudyFolder
) -> None:
    moments = random.Random(5)
    for _ in range(8):
        victim = start(n_trials=30, trial_s=0.01, reports=1)
        time.sleep(moments.uniform(0.1, 0.4))
        victim.kill()
        victim.join()
    _end(start(n_trials=30, reports=1))
    _require_all_accounted(folder, 30)


def test_a_suspended_controller_keeps_its_trial(
    start: Start, folder: StudyFolder, tmp_path: Path
) -> None:
    sleeper = start(n_trials=4, trial_s=0.4, grace_s=0.5)
    while not _lines(tmp_path, "start"):
        time.sleep(0.02)
    assert sleeper.pid is not None
    os.kill(sleeper.pid, signal.SIGSTOP)
    other = start(n_trials=4, grace_s=0.5)
    while len(_lines(tmp_path, "end")) < 3:
        time.sleep(0.02)
    time.sleep(0.8)
    assert other.is_alive(), "it waits for the trial that is still somebody's"
    os.kill(sleeper.pid, signal.SIGCONT)
    _end(sleeper, other)
    assert {attempt for _, attempt, _ in _lines(tmp_path, "start")} == {1}
    _require_all_accounted(folder, 4)
