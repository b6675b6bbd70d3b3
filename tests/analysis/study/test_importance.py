"""Importance: finds what matters, says how sure it is, and what it cannot know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from seglab.analysis.study import importance_figure, importance_table, read_study
from seglab.analysis.study.importance import ranked_params
from seglab.analysis.study.marks import NotDrawableError

SPACE = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    "optimizer.momentum": FloatDistribution(0.5, 0.99),
    "loss": CategoricalDistribution(("ce", "dice")),
}


def trials(make: Any, count: int, seed: int = 0, noise: float = 0.01) -> list[Any]:
    """The value depends on the learning rate alone; every other trial has a momentum."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        params = {
            "optimizer.lr": float(10 ** rng.uniform(-4, -1)),
            "loss": str(rng.choice(["ce", "dice"])),
        }
        if number % 2:
            params["optimizer.momentum"] = float(rng.uniform(0.5, 0.99))
        value = 0.7 - 0.1 * (np.log10(params["optimizer.lr"]) + 2.5) ** 2 + rng.normal(0, noise)
        made.append(make.trial([float(value)], params, space=SPACE))
    return made


def test_finds_what_matters(make: Any) -> None:
    table = importance_table(read_study(make(trials(make, 60)))).set_index(["method", "param"])
    assert table.loc[("fANOVA", "optimizer.lr"), "importance"] > 0.9
    assert table.loc[("PED-ANOVA", "optimizer.lr"), "importance"] > 0.6
    assert table.groupby("method")["importance"].sum().tolist() == pytest.approx([1.0, 1.0])
    assert (table["low"] <= table["high"]).all()
    assert table["low"].min() >= 0.0
    assert table["high"].max() <= 1.0
    assert table.loc[("fANOVA", "optimizer.lr"), "label"] == "lr"


@pytest.mark.slow
def test_parameter_of_some_trials_has_no_fanova(make: Any) -> None:
    view = read_study(make(trials(make, 40)))
    table = importance_table(view)
    assert set(table.loc[table["param"] == "optimizer.momentum", "method"]) == {"PED-ANOVA"}
    axes = importance_figure(view).axes[0]
    assert "Not in every trial, so PED-ANOVA only: momentum." in axes.get_xlabel()


@pytest.mark.slow
def test_same_numbers_each_time(make: Any) -> None:
    made = trials(make, 20)
    first, second = (importance_table(read_study(make(made, name=name))) for name in "ab")
    assert first.equals(second)


@pytest.mark.slow
def test_few_trials_are_called_unreliable_and_spread_more(make: Any) -> None:
    views = [
        read_study(make(trials(make, count, noise=0.1), name=f"n{count}")) for count in (12, 50)
    ]
    labels = [importance_figure(view).axes[0].get_xlabel() for view in views]
    assert "Unreliable: 12 finished trials are few" in labels[0]
    assert "Unreliable" not in labels[1]
    few, many = (importance_table(view).query("method == 'fANOVA'") for view in views)
    assert (few["high"] - few["low"]).mean() > (many["high"] - many["low"]).mean()


@pytest.mark.slow
def test_pruned_trials_do_not_count_and_that_is_said(make: Any) -> None:
    made = trials(make, 30)
    pruned = [
        make.trial([0.0], one.params, [0.0], state=TrialState.PRUNED, space=SPACE) for one in made
    ]
    alone, both = read_study(make(made, name="a")), read_study(make([*made, *pruned], name="b"))
    assert importance_table(alone).equals(importance_table(both))
    assert "30 pruned trials do not count" in importance_figure(both).axes[0].get_xlabel()


def test_trials_of_other_studies_do_not_count(make: Any) -> None:
    made = trials(make, 20)
    warm = trials(make, 20, seed=1)
    for one in warm:
        one.attrs = {"warm": {"study": "former", "number": 0}}
    alone, both = read_study(make(made, name="a")), read_study(make([*warm, *made], name="b"))
    assert importance_table(alone).equals(importance_table(both))


def test_what_is_too_little_is_told(make: Any) -> None:
    few = read_study(make(trials(make, 3), name="few"))
    with pytest.raises(NotDrawableError, match="3 finished trials; importance needs at least 4"):
        importance_table(few)
    same = read_study(make([make.trial([0.5], {"loss": "ce"}, space=SPACE)] * 6, name="same"))
    with pytest.raises(NotDrawableError, match="no parameter took two values"):
        importance_table(same)
    flat = [make.trial([0.5], {"loss": loss}, space=SPACE) for loss in ["ce", "dice"] * 3]
    with pytest.raises(NotDrawableError, match="all finished trials have the same value"):
        importance_table(read_study(make(flat, name="flat")))


@pytest.mark.slow
def test_order_of_parameters_where_importance_is_unknown(make: Any) -> None:
    view = read_study(make(trials(make, 3)))
    assert ranked_params(view) == list(view.scales)
    assert ranked_params(read_study(make(trials(make, 40), name="b")))[0] == "optimizer.lr"


@pytest.mark.slow
def test_tiny_studies_have_a_figure_or_a_reason(make: Any) -> None:
    """Bootstrap samples of few trials may hold one value of a parameter, or lack it altogether."""
    for seed in range(6):
        view = read_study(make(trials(make, 4 + seed % 3, seed), name=f"tiny{seed}"))
        table = importance_table(view)
        assert {"optimizer.lr"} <= set(table["param"]) <= set(view.scales)
        assert table["importance"].between(0, 1).all()


def test_forest_that_sees_no_difference_is_left_out(make: Any) -> None:
    made = [make.trial([0.1 * n], {"loss": ("ce", "dice")[n % 2]}, space=SPACE) for n in range(6)]
    table = importance_table(read_study(make(made)))
    assert "PED-ANOVA" in set(table["method"])
    assert set(table["param"]) == {"loss"}
