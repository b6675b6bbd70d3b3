"""Idle shares by hand; attempts that nobody saw end; lanes; pauses of the whole study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from seglab.analysis.study import idle_share, read_study, study_summary
from seglab.analysis.study.attempts import Attempt, controller_lives

Spans = dict[str, list[tuple[float, float]]]


def table(spans: Spans) -> pd.DataFrame:
    """Attempts of trials numbered in order of their starts; each worker is a lane."""
    rows = sorted((start, end, lane) for lane, busy in spans.items() for start, end in busy)
    attempts = [
        Attempt(number, 1, lane, "host", lane, start, end, "finished", False)
        for number, (start, end, lane) in enumerate(rows)
    ]
    return pd.DataFrame(attempts, columns=list(Attempt._fields))


def test_share_by_hand() -> None:
    # The last of five trials starts at 20, the study ends at 30.
    # a: idle 10-12. b: idle 5-9, and 25-30 when nothing was left to start.
    attempts = table({"a": [(0, 10), (12, 20), (20, 30)], "b": [(0, 5), (9, 25)]})
    idle = idle_share(attempts)
    rows = idle.table.set_index("lane")
    assert rows.loc["a", ["waiting_s", "idle_waiting_s", "total_s", "idle_s"]].tolist() == [
        20,
        2,
        30,
        2,
    ]
    assert rows.loc["b", ["waiting_s", "idle_waiting_s", "total_s", "idle_s"]].tolist() == [
        20,
        4,
        30,
        9,
    ]
    assert rows.loc["a", "idle_waiting"] == pytest.approx(0.1)
    assert idle.waiting == pytest.approx(6 / 40)
    assert idle.total == pytest.approx(11 / 60)


def test_worker_that_joins_late_is_not_idle_before() -> None:
    idle = idle_share(table({"a": [(0, 50), (50, 100)], "late": [(40, 90)]}))
    assert idle.table["total_s"].tolist() == [100, 60]
    assert idle.total == pytest.approx(10 / 160)
    assert idle.waiting == 0.0


def test_worker_that_stops_while_trials_wait_is_idle() -> None:
    idle = idle_share(table({"a": [(0, 10), (10, 20), (20, 30), (30, 40)], "b": [(0, 10)]}))
    assert idle.waiting == pytest.approx(20 / 60)


def test_trials_still_wait_while_the_budget_is_not_used_up() -> None:
    attempts = table({"a": [(0, 10)], "b": [(0, 4)]})
    assert math.isnan(idle_share(attempts).waiting), "both started at once: nothing ever waited"
    assert idle_share(attempts, budget=2).total == pytest.approx(6 / 20)
    assert idle_share(attempts, budget=3).waiting == pytest.approx(6 / 20)


def test_only_the_first_start_of_a_trial_counts_as_waiting() -> None:
    attempts = table({"a": [(0, 10), (30, 40)], "b": [(0, 40)]})
    attempts.loc[attempts["started"] == 30, "number"] = 0
    idle = idle_share(attempts)
    assert math.isnan(idle.waiting), "what is started at 30 is no new trial"
    assert idle.total == pytest.approx(20 / 80)


def test_pause_of_the_study_does_not_count() -> None:
    attempts = table({"a": [(0, 10), (1012, 1020)], "b": [(0, 8), (1010, 1020)]})
    alive = [(-5.0, 10.0), (1000.0, 1021.0)]
    assert idle_share(attempts).total == pytest.approx((1002 + 1002) / 2040)
    idle = idle_share(attempts, alive=alive)
    # a: 1000-1012. b: 8-10 and 1000-1010.
    assert idle.table["idle_s"].tolist() == [12, 12]
    assert idle.table["total_s"].tolist() == [30, 30]


def test_no_attempts() -> None:
    idle = idle_share(table({}))
    assert math.isnan(idle.waiting)
    assert math.isnan(idle.total)
    assert len(idle.table) == 0


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=8),
        min_size=1,
    )
)
def test_share_agrees_with_counting_seconds(lengths: dict[str, list[tuple[int, int]]]) -> None:
    spans: Spans = {}
    for lane, parts in lengths.items():
        now, busy = 0, []
        for length, gap in parts:
            busy.append((float(now), float(now + length)))
            now += length + gap
        spans[lane] = busy
    end = int(max(stop for busy in spans.values() for _, stop in busy))
    until = int(max(start for busy in spans.values() for start, _ in busy))
    idle = np.array(
        [
            [not any(s <= second < e for s, e in busy) for second in range(end)]
            for busy in spans.values()
        ]
    )
    found = idle_share(table(spans))
    assert found.total == pytest.approx(idle.mean())
    if until:
        assert found.waiting == pytest.approx(idle[:, :until].mean())


def test_attempt_that_nobody_saw_end_lasts_until_the_next(make: Any) -> None:
    lost = {"ending": None}
    folder = make(
        [
            make.trial([0.5], attempts=[("gpu0", 0, None, lost), ("gpu1", 30, 40)]),
            make.trial([0.5], attempts=[("gpu0", 20, 25)]),
            make.trial(None, attempts=[("gpu1", 50, None)], state=TrialState.RUNNING),
        ],
        attrs={
            "controller:c1": {"host": "node1", "pid_started": make.start, "beat": make.start + 57}
        },
    )
    attempts = read_study(folder).attempts
    assert (attempts["ended"] - make.start).tolist() == [20, 40, 25, 57], (
        "the next of the worker; last beat"
    )
    assert attempts["outcome"].tolist() == ["lost", "finished", "finished", "running"]
    assert attempts["open"].tolist() == [True, False, False, True]


def test_trial_let_go_by_its_controller_is_broken_off(make: Any) -> None:
    released = make.trial(
        None, state=TrialState.RUNNING, attempts=[("gpu0", 0, 5, {"ending": "released"})]
    )
    given_up = make.trial(
        None,
        state=TrialState.FAIL,
        attempts=[("gpu0", 6, 7, {"ending": "died"}), ("gpu0", 8, 9, {"ending": "died"})],
    )
    attempts = read_study(make([released, given_up])).attempts
    assert attempts["outcome"].tolist() == ["lost", "lost", "failed"]


def test_lanes_keep_what_overlaps_apart(make: Any) -> None:
    folder = make(
        [
            make.trial([0.5], attempts=[("gpu0", 0, 10)]),
            make.trial([0.5], attempts=[("gpu0", 5, 15)]),
            make.trial([0.5], attempts=[("gpu0", 10, 20)]),
            make.trial([0.5], attempts=[("gpu0", 0, 10)], host="node2"),
        ]
    )
    lanes = read_study(folder).attempts["lane"].tolist()
    assert lanes == ["node1 gpu0", "node1 gpu0 (2)", "node1 gpu0", "node2 gpu0"]


def test_lives_of_controllers_are_known_only_where_they_cover_the_work() -> None:
    attempts = table({"a": [(100, 200), (1000, 1100)]})
    attempts["controller"] = ["1", "2"]
    first = {"controller:1": {"pid_started": 90.0, "beat": 195.0}}
    second = {"controller:2": {"pid_started": 990.0, "beat": 1101.0}}
    assert controller_lives(first | second, attempts) == [(90, 200), (990, 1101)], (
        "beat or last end"
    )
    assert controller_lives(first, attempts) is None, "the other one left no trace"
    assert controller_lives({}, attempts) is None
    assert controller_lives({"controller:1": None, "seed": 3}, attempts) is None
    assert controller_lives(first, table({"a": [(100, 200)]})) is None, (
        "whose work it was is unknown"
    )


def test_night_between_two_controllers_is_not_idle(make: Any) -> None:
    spans = [("1", 0, 10), ("1", 12, 20), ("2", 5020, 5030), ("2", 5031, 5040)]
    trials = [
        make.trial([0.5], attempts=[("gpu0", start, end, {"controller": name})])
        for name, start, end in spans
    ]
    lives = {
        f"controller:{name}": {"pid_started": make.start + start, "beat": make.start + end}
        for name, start, end in (("1", -5, 19), ("2", 5015, 5035))
    }
    view = read_study(make(trials, attrs=lives))
    idle = idle_share(view.attempts, view.budget, view.alive)
    # 10-12, the second controller's start 5015-5020, and 5030-5031.
    assert idle.table["idle_s"].tolist() == [8]
    assert idle.table["total_s"].tolist() == [45]
    assert study_summary(view).idle.total == pytest.approx(8 / 45)


def test_idle_of_the_simulated_study(swept: Any) -> None:
    view = read_study(swept)
    idle = idle_share(view.attempts, view.budget)
    # Half a second after each trial, one second after the death of trial 12's process.
    assert idle.table["idle_waiting_s"].sum() == pytest.approx(0.5 * 38 + 1.0)
    assert idle.table["idle_s"].sum() > idle.table["idle_waiting_s"].sum()
