"""The ledger: who runs which trial, how trials end, and what is kept when controllers come and go."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from seglab.core.errors import ConfigError, DataError
from seglab.runs.process import writer_facts
from seglab.runs.studies.study import (
    ATTEMPTS,
    ERROR,
    FAILED_VALUES,
    FIRST_STEP_S,
    OWNER,
    REASON,
    RUN_DIR,
    TRACEBACK,
    WORDS,
    StudyFolder,
    StudyObjective,
)
from seglab.runs.studies.study_storage import BudgetStudy, open_study
from seglab.sweep.ask.plan import Counts, StudyPlan
from seglab.sweep.ledger import ownership
from seglab.sweep.ledger.attempts import MOST_FRUITLESS
from seglab.sweep.ledger.ledger import Claim, Ledger, Outcome
from seglab.sweep.ledger.trials import TrialCreationError

DONE = Outcome("finished", [0.5])
Open = Callable[..., Ledger]


def suggest(trial: optuna.Trial) -> list[str]:
    return [f"x={trial.suggest_float('x', 0, 1):.6f}", f"n={trial.suggest_int('n', 1, 8)}"]


@pytest.fixture
def open_ledger(
    folder: StudyFolder, storage: str, make_plan: Callable[..., StudyPlan]
) -> Iterator[Open]:
    """Opens ledgers of one study; each stands for a controller of its own."""
    opened: list[Ledger] = []

    def start(**words: Any) -> Ledger:
        suggests = words.pop("suggest", suggest)
        plan = make_plan(**{"n_trials": 3, "storage": storage, **words})
        folder.write({**folder.read(), "storage": storage})
        opened.append(Ledger(folder, plan, f"c{len(opened) + 1}", suggests))
        return opened[-1]

    yield start
    for ledger in opened:
        ledger.close()


def _trial(folder: StudyFolder, number: int) -> FrozenTrial:
    return open_study(folder).trials[number]


def _claimed(ledger: Ledger) -> Claim:
    claim = ledger.claim("cpu 0")
    assert claim is not None
    return claim


def _die(ledger: Ledger) -> None:
    """Make a controller look dead: its process gone, and nothing else changed."""
    study = ledger._trials.study
    key = f"controller:{ledger.controller}"
    study.set_user_attr(key, {**study.user_attrs[key], "pid": 2**22 + 1})


def test_a_new_trial_is_written_down_before_it_is_handed_out(
    open_ledger: Open, folder: StudyFolder
) -> None:
    before = time.time()
    claim = _claimed(open_ledger())
    assert (claim.number, claim.attempt) == (0, 1)
    assert claim.run_dir == folder.path / "trials" / "demo-abc123-t0000"
    stored = _trial(folder, 0)
    assert stored.state == TrialState.RUNNING
    assert claim.words == stored.user_attrs[WORDS]
    assert claim.words == [f"x={stored.params['x']:.6f}", f"n={stored.params['n']}"]
    assert stored.user_attrs[RUN_DIR] == "trials/demo-abc123-t0000"
    assert stored.user_attrs[OWNER] == "c1"
    (attempt,) = stored.user_attrs[ATTEMPTS]
    assert (attempt["worker"], attempt["controller"]) == ("cpu 0", "c1")
    assert before <= attempt["started"] <= time.time()
    assert attempt["ended"] is None


def test_the_budget_is_exact(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    claims = [_claimed(first), _claimed(second), _claimed(first)]
    assert [claim.number for claim in claims] == [0, 1, 2]
    assert first.claim("cpu 0") is second.claim("cpu 0") is None
    assert first.counts() == Counts(3, 0, 0, 0, 0, 3)
    for ledger, claim in zip([first, second, first], claims, strict=True):
        ledger.tell(claim, DONE)
    assert first.counts() == Counts(0, 3, 0, 0, 0, 3)
    assert not first.is_open()


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(open_ledger: Open) -> None:
    ledger = open_ledger(n_trials=1)
    ledger.tell(_claimed(ledger), DONE)
    assert not ledger.is_open()
    larger = open_ledger(n_trials=2)
    assert larger.is_open()
    assert _claimed(larger).number == 1


def test_a_study_stays_open_while_others_may_still_give_trials_back(open_ledger: Open) -> None:
    ledger, other = open_ledger(n_trials=1), open_ledger(n_trials=1)
    claim = _claimed(ledger)
    assert other.is_open()
    # Its own running trials are no reason: it knows when they end.
    assert not ledger.is_open()
    ledger.tell(claim, DONE)
    assert not other.is_open()


def test_an_outcome_is_kept_with_all_that_is_known(open_ledger: Open, folder: StudyFolder) -> None:
    ledger = open_ledger()
    claim = _claimed(ledger)
    told = ledger.tell(
        claim,
        Outcome(
            "failed",
            reason="exception",
            error="ValueError: bad\nmore",
            traceback="Traceback",
            first_step_s=1.5,
        ),
    )
    assert (told.status, told.reason, told.error) == ("failed", "exception", "ValueError: bad")
    stored = _trial(folder, 0)
    assert stored.state == TrialState.FAIL
    facts = stored.user_attrs
    assert (facts[REASON], facts[ERROR], facts[TRACEBACK]) == (
        "exception",
        "ValueError: bad",
        "Traceback",
    )
    assert facts[FIRST_STEP_S] == 1.5
    assert facts[ATTEMPTS][0]["ending"] == "failed"
    assert facts[ATTEMPTS][0]["ended"] >= facts[ATTEMPTS][0]["started"]


def test_a_finished_trial_has_its_value(open_ledger: Open, folder: StudyFolder) -> None:
    ledger = open_ledger()
    assert ledger.tell(_claimed(ledger), Outcome("finished", [np.float32(0.25)])).values == [0.25]
    assert _trial(folder, 0).value == 0.25
    assert REASON not in _trial(folder, 0).user_attrs


@pytest.mark.parametrize(
    ("values", "message", "kept"),
    [
        ([math.nan], "expected finite scores, but val/miou is nan", ["nan"]),
        ([-math.inf], "but val/miou is -inf", ["-inf"]),
        (None, r"expected 1 values \(val/miou\), got None", None),
        ([0.1, 0.2], "expected 1 values .*, got 2 values", [0.1, 0.2]),
        ([], "got 0 values", None),
        (["good"], "val/miou is good", ["good"]),
    ],
)
def test_values_that_cannot_count_make_a_failure(
    tmp_path: Path,
    folder: StudyFolder,
    make_plan: Callable[..., StudyPlan],
    values: Any,
    message: str,
    kept: Any,
) -> None:
    ledger = Ledger(folder, make_plan(), "c1", suggest)
    told = ledger.tell(_claimed(ledger), Outcome("finished", values))
    assert (told.status, told.reason) == ("failed", "nan")
    stored = _trial(folder, 0)
    assert stored.state == TrialState.FAIL
    assert pytest.approx(stored.user_attrs.get(FAILED_VALUES)) == kept or kept is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(stored.user_attrs[ERROR])


def test_several_objectives(open_ledger: Open, folder: StudyFolder) -> None:
    objectives = (StudyObjective("val/miou", "maximize"), StudyObjective("latency", "minimize"))
    ledger = open_ledger(objectives=objectives, pruner={"_target_": "optuna.pruners.MedianPruner"})
    claim = _claimed(ledger)
    assert ledger.report(claim, 0.5, 0) is False
    ledger.tell(claim, Outcome("finished", [0.5, 20.0]))
    ledger.tell(_claimed(ledger), Outcome("finished", [0.4, math.nan]))
    study = open_study(folder)
    assert study.metric_names == ["val/miou", "latency"]
    assert [trial.number for trial in study.best_trials] == [0]
    assert study.trials[1].user_attrs[FAILED_VALUES] == [0.4, "nan"]


def test_a_pruned_trial_keeps_its_last_score(open_ledger: Open, folder: StudyFolder) -> None:
    ledger = open_ledger()
    claim = _claimed(ledger)
    ledger.report(claim, 0.3, 0)
    ledger.report(claim, 0.4, 1)
    assert ledger.tell(claim, Outcome("pruned", first_step_s=0.1)).status == "pruned"
    assert (_trial(folder, 0).state, _trial(folder, 0).value) == (TrialState.PRUNED, 0.4)


def test_reports_are_kept_once_and_only_if_they_are_numbers(
    open_ledger: Open, folder: StudyFolder, recwarn: pytest.WarningsRecorder
) -> None:
    ledger = open_ledger()
    claim = _claimed(ledger)
    for step, value in [(0, 0.1), (0, 0.9), (1, math.nan), (2, math.inf), (3, 0.3)]:
        assert ledger.report(claim, value, step) is False
    assert _trial(folder, 0).intermediate_values == {0: 0.1, 3: 0.3}
    assert [str(one.message) for one in recwarn if "reported" in str(one.message)] == []


def test_a_trial_of_a_dead_controller_is_taken_over(open_ledger: Open, folder: StudyFolder) -> None:
    dead, heir = open_ledger(), open_ledger()
    claim = _claimed(dead)
    dead.report(claim, 0.5, 0)
    assert _claimed(heir).number == 1, "a living controller keeps its trials"
    _die(dead)
    taken = _claimed(heir)
    assert (taken.number, taken.attempt) == (0, 2)
    assert (taken.words, taken.run_dir) == (claim.words, claim.run_dir)
    assert taken.trial.params == claim.trial.params
    # A step that the first attempt reported keeps its score.
    heir.report(taken, 0.9, 0)
    heir.report(taken, 0.6, 1)
    heir.tell(taken, DONE)
    stored = _trial(folder, 0)
    assert stored.intermediate_values == {0: 0.5, 1: 0.6}
    first, second = stored.user_attrs[ATTEMPTS]
    assert (first["ending"], second["ending"]) == ("abandoned", "finished")
    assert first["started"] <= first["ended"] <= second["started"]
    assert stored.user_attrs[OWNER] == "c2"


def test_abandoned_trials_come_first_then_waiting_then_new_ones(open_ledger: Open) -> None:
    words = {"enqueue": ({"x": 0.5}, {"x": 0.25}), "n_trials": 4}
    dead, heir = open_ledger(**words), open_ledger(**words)
    assert _claimed(dead).words[0] == "x=0.500000"
    _die(dead)
    claims = [_claimed(heir) for _ in range(4)]
    assert [claim.number for claim in claims] == [0, 1, 2, 3]
    assert [claim.attempt > 1 for claim in claims] == [True, False, False, False]
    assert claims[1].words[0] == "x=0.250000"


def test_a_result_from_a_controller_that_lost_its_trial_is_ignored(
    open_ledger: Open, folder: StudyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    slow, heir = open_ledger(), open_ledger()
    claim = _claimed(slow)
    _die(slow)
    taken = _claimed(heir)
    with caplog.at_level(logging.INFO):
        told = slow.tell(claim, Outcome("failed", reason="exception", error="late"))
    assert told.status == "abandoned"
    assert "trial 0 was taken over by another controller" in caplog.text
    caplog.set_level(logging.INFO)
    assert slow.retry(claim, "killed") is True
    slow.release(claim)
    heir.tell(taken, Outcome("finished", [0.7]))
    assert slow.tell(claim, DONE).values == [0.7]
    assert heir.tell(taken, Outcome("finished", [0.1])).values == [0.7]
    assert "trial 0 has ended already" in caplog.text
    assert (_trial(folder, 0).value, ERROR in _trial(folder, 0).user_attrs) == (0.7, False)
    assert len(_trial(folder, 0).user_attrs[ATTEMPTS]) == 2


def test_a_controller_that_lost_its_trial_is_told_to_stop_it(
    open_ledger: Open, caplog: pytest.LogCaptureFixture
) -> None:
    slow, heir = open_ledger(grace_s=0.3), open_ledger(grace_s=0.3)
    claim = _claimed(slow)
    assert slow.report(claim, 0.5, 0) is False
    _die(slow)
    taken = _claimed(heir)
    time.sleep(0.2)
    assert slow.report(claim, 0.5, 1) is True
    assert "trial 0 was taken over by another controller" in caplog.text
    heir.tell(taken, DONE)
    assert slow.report(claim, 0.5, 2) is True


def test_a_trial_whose_process_dies_is_tried_again_as_often_as_asked(
    open_ledger: Open, folder: StudyFolder
) -> None:
    ledger = open_ledger(retries=2)
    for attempt in (1, 2):
        claim = _claimed(ledger)
        assert (claim.number, claim.attempt) == (0, attempt)
        assert ledger.retry(claim, f"signal 9, time {attempt}") is True
    claim = _claimed(ledger)
    assert ledger.retry(claim, "signal 9, time 3") is False
    stored = _trial(folder, 0)
    assert (stored.state, stored.user_attrs[REASON]) == (TrialState.FAIL, "killed")
    assert stored.user_attrs[ERROR] == "its process died 3 times: signal 9, time 3"
    assert [one["ending"] for one in stored.user_attrs[ATTEMPTS]] == ["died"] * 3
    assert stored.user_attrs[ATTEMPTS][0]["error"] == "signal 9, time 1"
    assert _claimed(ledger).number == 1


def test_a_start_that_was_given_back_cannot_end_the_next_one(
    open_ledger: Open, folder: StudyFolder
) -> None:
    ledger = open_ledger()
    first = _claimed(ledger)
    ledger.retry(first, "signal 9")
    second = _claimed(ledger)
    assert ledger.tell(first, Outcome("finished", [0.1])).status == "abandoned"
    assert _claimed(ledger).number == 1, "the second start is still this controller's"
    ledger.tell(second, DONE)
    assert _trial(folder, 0).value == 0.5


def test_stops_and_dead_controllers_do_not_use_up_retries(
    open_ledger: Open, folder: StudyFolder
) -> None:
    for _ in range(3):
        stopped = open_ledger(retries=0)
        stopped.release(_claimed(stopped))
        dead = open_ledger(retries=0)
        _claimed(dead)
        _die(dead)
    last = open_ledger(retries=0)
    claim = _claimed(last)
    assert (claim.number, claim.attempt) == (0, 7)
    last.tell(claim, DONE)
    assert _trial(folder, 0).value == 0.5
    endings = [one["ending"] for one in _trial(folder, 0).user_attrs[ATTEMPTS]]
    assert endings == ["released", "abandoned"] * 3 + ["finished"]


def test_a_trial_that_takes_its_controllers_down_is_given_up(
    open_ledger: Open, folder: StudyFolder
) -> None:
    for _ in range(MOST_FRUITLESS + 1):
        dead = open_ledger()
        assert _claimed(dead).number == 0
        _die(dead)
    assert _claimed(open_ledger()).number == 1
    stored = _trial(folder, 0)
    assert (stored.state, stored.user_attrs[REASON]) == (TrialState.FAIL, "killed")
    assert stored.user_attrs[ERROR].startswith("6 controllers in a row vanished")


def test_a_trial_that_gets_on_is_never_given_up(open_ledger: Open) -> None:
    for step in range(MOST_FRUITLESS + 3):
        dead = open_ledger()
        claim = _claimed(dead)
        assert (claim.number, claim.attempt) == (0, step + 1)
        dead.report(claim, 0.1, step)
        _die(dead)
    assert _claimed(open_ledger()).number == 0


def test_a_released_trial_goes_on_at_once(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    first.release(_claimed(first))
    claim = _claimed(second)
    assert (claim.number, claim.attempt) == (0, 2)
    assert _claimed(first).number == 1


def test_a_closed_ledger_gives_all_its_trials_back(open_ledger: Open) -> None:
    first, second = open_ledger(), open_ledger()
    assert {_claimed(first).number, _claimed(first).number} == {0, 1}
    first.close()
    assert [_claimed(second).number for _ in range(3)] == [0, 1, 2]


def test_a_controller_elsewhere_lives_as_long_as_its_heart_beats(
    open_ledger: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock of the heartbeats: on a slow machine, seconds pass between two lines of a test.
    now = 1e9
    clock = SimpleNamespace(time=lambda: now, monotonic=lambda: now)
    monkeypatch.setattr(ownership, "time", clock)
    far, near = open_ledger(grace_s=60.0), open_ledger(grace_s=60.0)
    with monkeypatch.context() as patch:
        # A container of the same name: process numbers mean other processes there.
        patch.setattr(ownership, "writer_facts", lambda: {**writer_facts(), "pid": 2**22 + 1})
        patch.setattr(ownership, "_place", lambda: "elsewhere")
        _claimed(far)
    assert [_claimed(near).number for _ in range(2)] == [1, 2]
    for _ in range(8):
        now += 15
        far.beat()
        assert near.claim("cpu 0") is None
    now += 60
    assert near.claim("cpu 0") is None
    now += 1
    assert _claimed(near).number == 0


def test_heartbeats_are_written_only_now_and_then(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    ledger = Ledger(folder, make_plan(grace_s=120.0), "c1", suggest)
    ledger.beat()
    assert open_study(folder).user_attrs == {}, "who only watches is no controller"
    claim = _claimed(ledger)
    size = folder.journal_path.stat().st_size
    for _ in range(1000):
        ledger.beat()
    assert folder.journal_path.stat().st_size == size
    assert open_study(folder).user_attrs["controller:c1"]["pid"] == os.getpid()
    ledger.release(claim)


def test_a_crash_while_a_trial_is_made_heals(open_ledger: Open, folder: StudyFolder) -> None:
    calls = []

    def crash(trial: optuna.Trial) -> list[str]:
        calls.append(trial.suggest_float("x", 0, 1))
        if len(calls) == 2:  # the first call only tries the space
            raise KeyboardInterrupt
        return suggest(trial)

    ledger = open_ledger(suggest=crash)
    with pytest.raises(KeyboardInterrupt):
        ledger.claim("cpu 0")
    assert _trial(folder, 0).params == {}, "nothing half made is stored"
    claim = _claimed(ledger)
    assert (claim.number, claim.attempt) == (0, 1)
    assert claim.trial.params["x"] == calls[1] == calls[2]
    assert claim.words == suggest(claim.trial)
    assert _trial(folder, 0).params == claim.trial.params
    assert _claimed(ledger).number == 1


def _made_unless(broken: Callable[[optuna.Trial], bool]) -> Callable[[optuna.Trial], list[str]]:
    def make(trial: optuna.Trial) -> list[str]:
        words = suggest(trial)
        # The first call only tries the space, in memory.
        if broken(trial) and "controller:c1" in trial.study.user_attrs:
            raise KeyError("depth")
        return words

    return make


def test_a_trial_that_cannot_be_made_fails_alone(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    ledger = Ledger(folder, make_plan(), "c1", _made_unless(lambda trial: trial.number == 1))
    _claimed(ledger)
    assert ledger.claim("cpu 0") is None
    assert _claimed(ledger).number == 2
    stored = _trial(folder, 1)
    assert (stored.state, stored.user_attrs[REASON]) == (TrialState.FAIL, "exception")
    assert stored.user_attrs[ERROR] == "KeyError: 'depth'"
    assert "in make" in stored.user_attrs[TRACEBACK]
    assert ledger.counts() == Counts(2, 0, 0, 1, 0, 10)


def test_a_space_of_which_no_trial_can_be_made_does_not_use_up_the_budget(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    ledger = Ledger(folder, make_plan(), "c1", _made_unless(lambda trial: True))
    assert ledger.claim("cpu 0") is ledger.claim("cpu 0") is None
    with pytest.raises(TrialCreationError, match="KeyError: 'depth'"):
        ledger.claim("cpu 0")
    assert ledger.counts().failed == 3


def test_a_crash_while_a_waiting_trial_is_taken_heals(
    open_ledger: Open, folder: StudyFolder
) -> None:
    ledger = open_ledger(enqueue=({"x": 0.125, "n": 3},))
    ledger._trials.start(ledger._trials.everything())
    assert _trial(folder, 0).state == TrialState.RUNNING
    assert _claimed(ledger).words == ["x=0.125000", "n=3"]


@pytest.mark.parametrize(
    "outcome",
    [DONE, Outcome("pruned"), Outcome("failed", reason="timeout", error="too long", traceback="t")],
)
def test_a_crash_between_the_facts_and_the_state_loses_nothing(
    open_ledger: Open, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    ledger, heir = open_ledger(), open_ledger()
    claim = _claimed(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(BudgetStudy, "tell", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.tell(claim, outcome)
    assert _trial(folder, 0).state == TrialState.RUNNING
    _die(ledger)
    assert _claimed(heir).number == 1, "what has ended is not run again"
    assert ledger.tell(claim, Outcome("finished", [0.1])) == outcome
    (attempt,) = _trial(folder, 0).user_attrs[ATTEMPTS]
    assert attempt["ending"] == outcome.status


def test_a_crash_before_all_facts_are_there_runs_the_trial_again(
    open_ledger: Open, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, heir = open_ledger(), open_ledger()
    claim = _claimed(ledger)
    write = optuna.Trial.set_user_attr

    def dying(trial: optuna.Trial, key: str, value: Any) -> None:
        if key == ATTEMPTS:
            raise KeyboardInterrupt
        write(trial, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Trial, "set_user_attr", dying)
        with pytest.raises(KeyboardInterrupt):
            ledger.tell(claim, Outcome("failed", reason="timeout", error="too long"))
    assert _trial(folder, 0).user_attrs[REASON] == "timeout"
    _die(ledger)
    taken = _claimed(heir)
    assert (taken.number, taken.attempt) == (0, 2)
    assert heir.tell(taken, Outcome("finished", [0.75])).reason is None
    stored = _trial(folder, 0)
    assert (stored.value, stored.user_attrs[REASON], stored.user_attrs[ERROR]) == (0.75, None, None)


def test_a_crash_while_a_trial_that_died_too_often_is_given_up_ends_it(
    open_ledger: Open, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, heir = open_ledger(retries=0), open_ledger(retries=0)
    claim = _claimed(ledger)
    with monkeypatch.context() as patch:
        patch.setattr(BudgetStudy, "tell", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.retry(claim, "signal 11")
    _die(ledger)
    assert _claimed(heir).number == 1
    assert _trial(folder, 0).user_attrs[ERROR] == "its process died: signal 11"


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_sampler_that_stumbles_does_not_lose_the_result(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan], caplog: pytest.LogCaptureFixture
) -> None:
    # Optuna's grid sampler looks for the place in the grid of a trial that was enqueued.
    grid = {"_target_": "optuna.samplers.GridSampler", "search_space": {"x": [0.0, 1.0], "n": [1]}}
    ledger = Ledger(folder, make_plan(sampler=grid, enqueue=({"x": 0.5, "n": 2},)), "c1", suggest)
    first, second = _claimed(ledger), _claimed(ledger)
    assert ledger.tell(second, DONE).status == "finished"
    assert ledger.tell(first, DONE).status == "finished"
    assert open_study(folder).trials[0].value == 0.5
    assert "its sampler stumbled" in caplog.text


def test_a_grid_ends_when_it_is_used_up_and_repeats_nothing(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    grid = {"x": [0.0, 0.5, 1.0], "n": [1, 2]}
    plan = make_plan(
        sampler={"_target_": "optuna.samplers.GridSampler", "search_space": grid}, n_trials=20
    )
    ledgers = [Ledger(folder, plan, f"c{number}", suggest) for number in range(2)]
    claims = [_claimed(ledgers[number % 2]) for number in range(6)]
    assert ledgers[0].claim("cpu 0") is None, "running points are not tried a second time"
    assert len({tuple(claim.words) for claim in claims}) == 6
    for number, claim in enumerate(claims):
        ledgers[number % 2].tell(claim, DONE)
    assert not ledgers[0].is_open()


def test_an_exhausted_space_ends_the_study_until_it_is_widened(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    def small(trial: optuna.Trial) -> list[str]:
        return [f"n={trial.suggest_int('n', 1, 3)}"]

    def wide(trial: optuna.Trial) -> list[str]:
        return [f"n={trial.suggest_int('n', 1, 8)}"]

    brute = {"_target_": "optuna.samplers.BruteForceSampler"}
    plan = make_plan(sampler=brute, n_trials=20, space={"n": "range(1, 4)"})
    ledger = Ledger(folder, plan, "c1", small)
    words = set()
    while (claim := ledger.claim("cpu 0")) is not None:
        words.add(claim.words[0])
        ledger.tell(claim, DONE)
    assert words == {"n=1", "n=2", "n=3"}
    assert ledger.counts().finished == 3
    assert not Ledger(folder, plan, "c2", small).is_open()
    assert Ledger(folder, replace(plan, space={"n": "range(1, 9)"}), "c3", wide).is_open()


def test_a_trial_that_somebody_else_asks_for_is_run_within_the_budget(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    ledger = Ledger(folder, make_plan(n_trials=2), "c1", suggest)
    _claimed(ledger)
    # As optuna-dashboard does it, or a notebook without seglab.
    plain = optuna.load_study(
        study_name=folder.study_id,
        storage=JournalStorage(JournalFileBackend(str(folder.journal_path))),
    )
    plain.enqueue_trial({"x": 0.5, "n": 2})
    plain.enqueue_trial({"x": 0.5, "n": 3})
    assert _claimed(ledger).words == ["x=0.500000", "n=2"]
    assert ledger.claim("cpu 0") is None


def test_other_directions_than_those_of_the_study_are_refused(open_ledger: Open) -> None:
    open_ledger()
    with pytest.raises(ConfigError, match="was started with maximize, got minimize"):
        open_ledger(objectives=(StudyObjective("val/loss", "minimize"),))


def test_a_storage_that_lost_its_study_is_not_started_over(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    ledger = Ledger(folder, make_plan(), "c1", suggest)
    _claimed(ledger).run_dir.mkdir(parents=True)
    folder.journal_path.unlink()
    with pytest.raises(DataError, match="does not have the study any more, but 1 runs"):
        Ledger(folder, make_plan(), "c2", suggest)


def test_a_space_that_makes_no_trial_is_told_before_anything_is_written(
    folder: StudyFolder, make_plan: Callable[..., StudyPlan]
) -> None:
    def wrong(trial: optuna.Trial) -> list[str]:
        return [str(trial.suggest_float("x", 1, 0))]

    with pytest.raises(ConfigError, match="study: no trial can be made"):
        Ledger(folder, make_plan(), "c1", wrong)
    assert folder.journal_path.read_bytes() == b""


def test_a_controller_waits_for_a_server_that_is_away(
    folder: StudyFolder,
    make_plan: Callable[..., StudyPlan],
    postgres_server: Any,
    postgres_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = postgres_url.rpartition("/")[2]
    ledger = Ledger(folder, make_plan(storage=postgres_url, grace_s=30.0), "c1", suggest)
    claim = _claimed(ledger)
    postgres_server.open_to_others(name, False)
    postgres_server.hang_up(name)
    code = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from conftest import Server
time.sleep(1)
Server({postgres_server.port}).open_to_others("{name}", True)
"""
    with subprocess.Popen([sys.executable, "-c", code]):
        assert ledger.report(claim, 0.5, 0) is False
        assert ledger.tell(claim, DONE) == DONE
    assert "the study's storage does not answer, tries again" in caplog.text
    assert "s%40" not in caplog.text
    trial = open_study(folder, postgres_url).trials[0]
    assert (trial.value, trial.intermediate_values) == (0.5, {0: 0.5})


def test_a_server_that_stays_away_is_an_error(
    folder: StudyFolder,
    make_plan: Callable[..., StudyPlan],
    postgres_server: Any,
    postgres_url: str,
) -> None:
    name = postgres_url.rpartition("/")[2]
    ledger = Ledger(folder, make_plan(storage=postgres_url, grace_s=0.5), "c1", suggest)
    postgres_server.open_to_others(name, False)
    postgres_server.hang_up(name)
    with pytest.raises((ConnectionError, optuna.exceptions.StorageInternalError)):
        ledger.counts()
