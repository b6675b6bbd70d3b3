"""Idle workers, time left and the best trial, reckoned by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.runs.studies.study import StudyObjective
from seglab.sweep.watch.tally import Best, RunningTrial, Scored, Tally, finite

MIOU = StudyObjective("val/miou", "maximize")
LATENCY = StudyObjective("latency_ms", "minimize")


@dataclass(frozen=True)
class Numbers:
    running: int = 0
    finished: int = 0
    pruned: int = 0
    failed: int = 0
    budget: int = 10


def trial(number: int, started: float, attempt: int = 1) -> RunningTrial:
    return RunningTrial(number, "cpu 0", (), attempt, started)


def test_idle_share_counts_only_while_trials_wait() -> None:
    tally = Tally(workers=2, budget=4, objectives=(MIOU,), now=0)
    assert tally.idle_share(0) is None
    for event, number, now in [
        ("start", 0, 10),  # both idle for 10 s: 20 of 20
        ("start", 1, 10),
        ("end", 0, 30),  # 0 of 40
        ("start", 2, 33),  # one idle for 3 s: 3 of 6
        ("end", 1, 40),  # 0 of 14
        ("start", 3, 45),  # 5 of 10; now nothing waits
        ("end", 2, 60),
        ("end", 3, 100),
    ]:
        if event == "start":
            tally.started(trial(number, now))
        else:
            tally.stopped(number, "finished", now)

    assert tally.idle_share(1000) == pytest.approx(28 / 90)
    assert (tally.done, tally.waiting) == (4, 0)


def test_idle_share_goes_on_between_events() -> None:
    tally = Tally(workers=4, budget=8, objectives=(), now=0)
    tally.started(trial(0, 0))
    assert tally.idle_share(10) == 0.75
    assert tally.idle_share(5) == 0.75  # a clock that went back
    tally.started(trial(1, 20))
    assert tally.idle_share(20) == 0.75
    assert tally.idle_share(40) == pytest.approx((0.75 + 0.5) / 2)


def test_trials_of_other_controllers_wait_for_nobody() -> None:
    tally = Tally(workers=1, budget=10, objectives=(), now=0)
    tally.started(trial(0, 0))
    tally.counts(Numbers(running=4, finished=5, failed=1), now=1)
    assert (tally.elsewhere, tally.waiting, tally.done) == (3, 0, 6)
    tally.stopped(0, "finished", 2)
    assert (tally.done, tally.waiting) == (7, 0)
    tally.started(trial(8, 3, attempt=2))  # taken over from a controller that died
    assert (tally.elsewhere, tally.waiting) == (2, 0)


def test_trial_whose_process_died_waits_again() -> None:
    tally = Tally(workers=1, budget=2, objectives=(), now=0)
    tally.started(trial(0, 0))
    assert tally.stopped(0, "died", 5) is not None
    tally.counts(Numbers(running=1, budget=2), now=5)
    assert (tally.elsewhere, tally.waiting, tally.done) == (0, 2, 0)
    tally.started(trial(0, 7, attempt=2))
    assert (tally.elsewhere, tally.waiting) == (0, 1)
    tally.stopped(0, "finished", 8)
    assert (tally.done, tally.waiting) == (1, 1)
    assert tally.mean_duration(8) is None  # 1 s is not what a whole trial takes


def test_study_time_left_by_dealing_out_trials() -> None:
    tally = Tally(workers=2, budget=6, objectives=(), now=0)
    assert tally.seconds_left(0) is None
    tally.started(trial(0, 0))
    tally.started(trial(1, 0))
    tally.stopped(0, "pruned", 60)
    tally.started(trial(2, 60))
    # Trial 1 is due, trial 2 takes 60 s; of the three that wait one starts now, two in 60 s.
    assert tally.mean_duration(60) == 60
    assert tally.seconds_left(60) == 120
    tally.stopped(1, "finished", 90)
    assert tally.mean_duration(90) == 75
    # Trial 2 needs 45 s more; 0+75, 45+75, 75+75.
    assert tally.seconds_left(90) == 150


def test_study_time_left_counts_workers_elsewhere() -> None:
    tally = Tally(workers=1, budget=4, objectives=(), now=0)
    tally.started(trial(0, 0))
    tally.stopped(0, "finished", 100)
    tally.counts(Numbers(running=1, finished=1, budget=4), now=100)
    assert tally.elsewhere == 1
    # Free now, and in 50 s: 0+100 and 50+100.
    assert tally.seconds_left(100) == 150


def test_study_time_left_of_the_first_trials_comes_from_their_pace() -> None:
    tally = Tally(workers=2, budget=4, objectives=(), now=0)
    one = trial(0, 0)
    tally.started(one)
    one.update({"epoch": 0, "max_epochs": 10, "first_step": True}, 5)
    one.update({"epoch": 0, "max_epochs": 10}, 15)
    # 10 s an epoch, nine to go: 105 s in all; three wait: 0+105, 90+105, 105+105.
    assert tally.mean_duration(15) == 105
    assert tally.seconds_left(15) == 210


def test_study_time_left_of_very_many_trials() -> None:
    tally = Tally(workers=3, budget=100_000, objectives=(), now=0)
    tally.started(trial(0, 0))
    tally.stopped(0, "finished", 30)
    assert tally.seconds_left(30) == pytest.approx(30 * 99_999 / 3, rel=0.001)
    tally.counts(Numbers(finished=100_000, budget=100_000), now=30)
    assert tally.seconds_left(30) == 0


def test_trial_time_left() -> None:
    one = trial(0, 100)
    assert one.seconds_left(100) is None
    one.update({"epoch": 0, "max_epochs": 5, "first_step": True}, 110)
    assert (one.where, one.seconds_left(115)) == ("0/5", None)
    one.update({"epoch": 0, "max_epochs": 5, "metric": "val/miou", "value": 0.25}, 130)
    # 20 s an epoch since the first step, four to go.
    assert (one.where, one.metric, one.value) == ("1/5", "val/miou", 0.25)
    assert [one.seconds_left(now) for now in (130, 140, 150, 500)] == [80, 70, 60, 60]
    one.update({"epoch": 4, "max_epochs": 5}, 300)
    assert (one.where, one.value, one.seconds_left(310)) == ("5/5", 0.25, 0)


def test_trial_time_left_without_word_of_its_first_step() -> None:
    one = trial(0, 100)
    one.update({"epoch": 1, "max_epochs": 4}, 120)
    assert one.seconds_left(120) == 20


def test_trial_taken_up_again_has_a_pace_of_its_own() -> None:
    one = trial(0, 100, attempt=2)
    one.update({"epoch": 15, "max_epochs": 20, "first_step": True}, 103)
    assert one.seconds_left(103) is None
    one.update({"epoch": 15, "max_epochs": 20}, 113)
    assert one.seconds_left(113) == 40  # not the 3 s that sixteen epochs would have taken


def test_folds() -> None:
    one = trial(0, 0)
    one.update({"epoch": 0, "max_epochs": 4, "fold": 0, "folds": 5, "first_step": True}, 10)
    one.update({"epoch": 1, "max_epochs": 4, "fold": 0, "folds": 5}, 30)
    assert (one.where, one.is_folds) == ("0/5 2/4", True)
    assert one.seconds_left(30) == 180  # half a fold in 20 s
    one.update({"fold": 0, "folds": 5, "finished": 1, "metric": "val/miou", "value": 0.5}, 50)
    assert (one.where, one.seconds_left(50)) == ("1/5", 160)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"epoch": None},
        {"epoch": "x", "max_epochs": "y"},
        {"epoch": 3},
        {"max_epochs": 3},
        {"epoch": 3, "max_epochs": 0},
        {"epoch": math.nan, "max_epochs": math.inf},
        {"fold": 1, "folds": 0},
        {"finished": None, "folds": 3},
        {"value": "x"},
        {"value": None},
        {"epoch": -5, "max_epochs": -1},
        {"metric": None, "value": math.nan},
        {"epoch": 10**400},
    ],
)
def test_odd_facts_are_no_harm(facts: dict[str, object]) -> None:
    one = trial(0, 0)
    for now in (0, 0, 10):
        one.update(facts, now)
        left = one.seconds_left(now)
        assert left is None or left >= 0


def test_finite() -> None:
    assert [finite(one) for one in ("1.5", 2, True)] == [1.5, 2.0, 1.0]
    assert [finite(one) for one in (None, "x", math.nan, -math.inf, [], 10**400)] == [None] * 6


def test_best_of_one_objective() -> None:
    best = Best((MIOU,))
    assert not best.add(Scored(0, (math.nan,), ()))
    assert not best.add(Scored(1, (), ()))
    assert best.trials == []
    assert best.add(Scored(2, (0.5,), ("a=1",)))
    assert not best.add(Scored(3, (0.5,), ()))  # as good, but later
    assert not best.add(Scored(4, (0.4,), ()))
    assert best.add(Scored(5, (0.6,), ()))
    assert [one.number for one in best.trials] == [5]

    lower = Best((LATENCY,))
    assert [lower.add(Scored(i, (value,), ())) for i, value in enumerate((3.0, 4.0, 2.0))] == [
        True,
        False,
        True,
    ]


def test_pareto_front() -> None:
    best = Best((MIOU, LATENCY))
    assert best.add(Scored(0, (0.5, 10.0), ()))
    assert best.add(Scored(1, (0.6, 20.0), ()))
    assert not best.add(Scored(2, (0.5, 15.0), ()))
    assert not best.add(Scored(3, (0.9,), ()))  # one score is missing
    assert best.add(Scored(4, (0.6, 9.0), ()))  # better than both
    assert [one.number for one in best.trials] == [4]


def test_nothing_is_best_of_a_grid() -> None:
    assert not Best(()).add(Scored(0, (), ()))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_front_is_what_nothing_else_beats(values: list[tuple[int, int]]) -> None:
    best = Best((MIOU, LATENCY))
    for number, pair in enumerate(values):
        best.add(Scored(number, tuple(map(float, pair)), ()))
    beaten = {
        one
        for one in values
        for other in values
        if other != one and other[0] >= one[0] and other[1] <= one[1]
    }
    front = sorted(one.values for one in best.trials)
    assert front == sorted({tuple(map(float, one)) for one in values if one not in beaten})
    assert all(a != b for a, b in pairwise(front))
