"""Axes of parameters: by size, by ratio, side by side; their ticks and names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, create_trial

from seglab.analysis.study.figures.chart import Axis
from seglab.analysis.study.parameters import ParamScale, param_scales, short_names
from seglab.analysis.study.wording import number, short
from seglab.analysis.style import new_figure
from seglab.core.text.wording import joined, plural


def trial(params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    return create_trial(
        value=0.0, params=dict(params), distributions={name: space[name] for name in params}
    )


def scale_of(distribution: BaseDistribution, value: Any) -> ParamScale:
    return param_scales([trial({"x": value}, {"x": distribution})])["x"]


def test_kinds() -> None:
    log = scale_of(FloatDistribution(1e-4, 1e-1, log=True), 0.01)
    assert (log.kind, log.low, log.high) == ("log", 1e-4, 1e-1)
    assert log.shares([1e-4, 1e-3, 1e-1]).tolist() == pytest.approx([0, 1 / 3, 1])
    assert log.ticks() == [(1e-4, "0.0001"), (1e-3, "0.001"), (1e-2, "0.01"), (1e-1, "0.1")]
    whole = scale_of(IntDistribution(2, 6), 3)
    assert (whole.kind, whole.whole) == ("linear", True)
    assert [text for _, text in whole.ticks()] == ["2", "3", "4", "5", "6"]
    words = scale_of(CategoricalDistribution(("dice", "ce")), "ce")
    assert (words.kind, words.choices) == ("category", ("dice", "ce"))
    assert words.ticks() == [(0.0, "dice"), (1.0, "ce")]
    assert not words.is_numeric
    assert log.is_numeric


def test_numbers_to_choose_from_stand_by_size() -> None:
    scale = scale_of(CategoricalDistribution((16, 4, 8)), 8)
    assert scale.choices == (4, 8, 16)
    assert scale.is_numeric


def test_true_is_not_one_and_a_missing_value_is_no_choice() -> None:
    space = {"x": CategoricalDistribution((True, 1, "1", None))}
    trials = [trial({"x": value}, space) for value in (1, True, None, "1")] + [trial({}, space)]
    places = param_scales(trials)["x"].values(trials)
    assert places[:4].tolist() == [1, 0, 3, 2]
    assert math.isnan(places[4])


def test_range_covers_what_a_resumed_study_changed() -> None:
    first = trial({"x": 0.5}, {"x": FloatDistribution(0.1, 1.0)})
    second = trial({"x": 3.0}, {"x": FloatDistribution(0.5, 4.0)})
    scale = param_scales([first, second])["x"]
    assert (scale.low, scale.high) == (0.1, 4.0)


@given(
    st.sampled_from(
        [ParamScale("x", "x", "log", 1e-5, 10.0), ParamScale("x", "x", "linear", -2.0, 3.0)]
    ),
    st.floats(0, 1),
)
def test_shares_and_back(scale: ParamScale, share: float) -> None:
    value = float(scale.at(share))
    assert float(scale.shares(value)) == pytest.approx(share, abs=1e-9)
    assert scale.low - 1e-9 <= value <= scale.high + 1e-9


def test_range_of_one_value_lies_in_the_middle() -> None:
    scale = ParamScale("x", "x", "linear", 5.0, 5.0)
    assert scale.shares([5.0, math.nan])[0] == 0.5
    assert np.isnan(scale.shares([5.0, math.nan])[1])
    assert scale.ticks() == [(5.0, "5")]
    low, high = scale.ends()
    assert low < 5.0 < high


@given(st.floats(1e-8, 1e3), st.floats(1.001, 1e6))
def test_log_ticks_lie_inside_and_are_few(low: float, ratio: float) -> None:
    ticks = ParamScale("x", "x", "log", low, low * ratio).ticks()
    assert 2 <= len(ticks) <= 15
    assert all(low <= value <= low * ratio for value, _ in ticks)


def test_many_choices_get_few_ticks() -> None:
    scale = scale_of(CategoricalDistribution([f"encoder_{n}" for n in range(30)]), "encoder_3")
    assert len(scale.ticks()) <= 12


def test_axis_of_a_figure_takes_the_scale() -> None:
    axes = new_figure(3, 3).subplots()
    Axis.of(ParamScale("optimizer.lr", "lr", "log", 1e-4, 1e-1)).dress(axes.xaxis)
    Axis.of(ParamScale("loss", "loss", "category", 0, 1, ("ce", "dice"))).dress(axes.yaxis)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "lr (log)"
    assert axes.get_yscale() == "linear"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ce", "dice"]
    assert axes.get_ylim() == (-0.6, 1.6)
    low, high = axes.get_xlim()
    assert low < 1e-4
    assert high > 1e-1


def test_short_names() -> None:
    assert short_names(["optimizer.lr", "data.batch_size", "loss"]) == {
        "optimizer.lr": "lr",
        "data.batch_size": "batch_size",
        "loss": "loss",
    }
    assert short_names(["model.name", "data.name"]) == {
        "model.name": "model.name",
        "data.name": "data.name",
    }


def test_words_for_ticks() -> None:
    assert short("tu-mobilenetv3_small_100") == "tu-mobil…mall_100"
    assert short("resnet18") == "resnet18"
    assert [number(value) for value in (0.0316228, 1e-05, 12.5, 3e8)] == [
        "0.0316",
        "1e-5",
        "12.5",
        "3e8",
    ]
    assert [plural(1, "trial"), plural(2, "trial")] == ["1 trial", "2 trials"]
    assert joined(list("abc"), 2) == "a, b and 1 more"
