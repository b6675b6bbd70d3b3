"""Best trials, Pareto front, counts, hours, and what pruning saved."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from seglab.analysis.study import (
    best_trials,
    pareto_front,
    pareto_trials,
    read_study,
    study_summary,
)
from seglab.analysis.study.summary import time_saved
from seglab.runs.studies.study_storage import open_study

PRUNED, FAIL, RUNNING = TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING


@settings(max_examples=60)
@given(
    st.integers(2, 3).flatmap(
        lambda size: st.tuples(
            st.lists(st.lists(st.integers(0, 4), min_size=size, max_size=size), max_size=12),
            st.lists(st.sampled_from(["maximize", "minimize"]), min_size=size, max_size=size),
        )
    )
)
def test_front_is_that_of_optuna(case: tuple[list[list[int]], list[str]]) -> None:
    points, directions = case
    study = optuna.create_study(directions=directions)
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=[float(value) for value in point]))
    expected = {trial.number for trial in study.best_trials}
    front = pareto_front(
        np.array(points, float).reshape(-1, len(directions)),
        [way == "maximize" for way in directions],
    )
    assert set(np.flatnonzero(front)) == expected


def test_front_leaves_out_the_undefined() -> None:
    front = pareto_front([[1.0, np.nan], [0.5, 0.5], [0.2, 0.2]], [True, True])
    assert front.tolist() == [False, True, False]


def test_front_of_a_study(make: Any) -> None:
    points = [[0.5, 10.0], [0.6, 20.0], [0.55, 25.0], [0.6, 20.0]]
    folder = make(
        [make.trial(point) for point in points],
        objectives=[("val/miou", "maximize"), ("cost/latency_ms", "minimize")],
    )
    view = read_study(folder)
    assert pareto_trials(view)["number"].tolist() == [0, 1, 3]
    assert [trial.number for trial in open_study(folder).best_trials] == [0, 1, 3]
    summary = study_summary(view)
    assert summary.front == (0, 1, 3)
    assert summary.best is None
    assert math.isnan(summary.best_value)


@pytest.mark.parametrize(("direction", "order"), [("maximize", [1, 3, 0]), ("minimize", [0, 1, 3])])
def test_best_first_of_equal_ones_the_earlier(make: Any, direction: str, order: list[int]) -> None:
    folder = make(
        [
            make.trial([0.5]),
            make.trial([0.7]),
            make.trial([0.9], state=PRUNED),
            make.trial([0.7]),
            make.trial(None, state=FAIL),
        ],
        objectives=[("val/score", direction)],
    )
    view = read_study(folder)
    assert best_trials(view)["number"].tolist() == order
    assert best_trials(view, 1)["number"].tolist() == order[:1]
    assert study_summary(view).best == order[0]


def test_numbers_by_hand(make: Any) -> None:
    hour = 3600.0
    folder = make(
        [
            make.trial([0.5], attempts=[("a", 0, hour)]),
            make.trial([0.3], state=PRUNED, attempts=[("b", 0, hour / 2)]),
            make.trial([0.6], attempts=[("b", hour / 2, 2 * hour)]),
            make.trial(None, state=FAIL, attempts=[("a", hour, 1.25 * hour)]),
            make.trial(
                None,
                state=RUNNING,
                attempts=[
                    ("a", 1.25 * hour, 1.5 * hour, {"ending": "died"}),
                    ("a", 1.5 * hour, None),
                ],
            ),
        ],
        n_trials=8,
    )
    summary = study_summary(read_study(folder))
    assert summary.counts == {"finished": 2, "pruned": 1, "failed": 1, "running": 1}
    assert (summary.ended, summary.budget, summary.workers, summary.retried) == (4, 8, 2, 1)
    assert (summary.best, summary.best_value, summary.best_after) == (2, 0.6, 3)
    assert summary.best_at_h == pytest.approx(2.0)
    assert summary.wall_h == pytest.approx(2.0)
    # a: 1 + 0.25 + 0.25 + 0.5 (still running at the last sign of life, 2 h); b: 0.5 + 1.5.
    assert summary.compute_h == pytest.approx(4.0)
    assert summary.pruned_share == pytest.approx(0.25)


def test_time_saved_by_hand(make: Any) -> None:
    def pruned(steps: int, seconds: float) -> Any:
        return make.trial([0.1], {}, [0.1] * steps, [("a", 0, seconds)], PRUNED)

    done = [make.trial([0.5], {}, [0.1] * 10, [("a", 0, 100)]) for _ in range(3)]
    # 2 of 10 epochs in 30 s: 120 s saved. 5 of 10 in 40 s: 40 s saved.
    assert time_saved(read_study(make([*done, pruned(2, 30), pruned(5, 40)]))) == pytest.approx(160)
    # Without reports the time of finished trials stands in: 100 - 30; never below 0.
    quiet = [make.trial([0.5], attempts=[("a", 0, 100)]) for _ in range(3)]
    folder = make([*quiet, pruned(0, 30), pruned(0, 300)], name="quiet")
    assert time_saved(read_study(folder)) == pytest.approx(70)
    assert time_saved(read_study(make(done, name="none"))) == 0.0
    assert math.isnan(time_saved(read_study(make([pruned(2, 30)], name="only"))))


def test_empty_study(make: Any) -> None:
    summary = study_summary(read_study(make([], n_trials=5)))
    assert summary.counts == {}
    assert summary.best is None
    assert summary.front == ()
    assert summary.compute_h == 0.0
    assert summary.workers == 0
    assert all(map(math.isnan, (summary.best_value, summary.wall_h, summary.pruned_share)))
