"""Figures of studies of every kind: drawn or left out with a reason, no words over others."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from seglab.analysis.study import StudyView, read_study, timeline_figure
from seglab.analysis.study.figures.write import drawings
from seglab.analysis.study.marks import NotDrawableError
from seglab.analysis.style import styled

pytestmark = pytest.mark.slow

PRUNED, FAIL, RUNNING = TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING
LR = {"optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True)}
WORDS = {
    "loss": CategoricalDistribution(("ce", "dice")),
    "aug": CategoricalDistribution((True, False)),
}
ONE_TRIAL = {"history", "parallel", "slice", "intermediate", "timeline"}
# What can be drawn of each of the studies below.
DRAWN: dict[str, set[str]] = {
    "none": set(),
    "failed": {"timeline"},
    "one": ONE_TRIAL,
    "two": ONE_TRIAL,
    "running": ONE_TRIAL,
    "pruned": ONE_TRIAL,
    "alike": ONE_TRIAL,
    "no parameters": {"history", "timeline"},
    "one parameter": {"history", "importance", "parallel", "slice", "timeline"},
    "words": {"history", "importance", "parallel", "slice", "contour", "timeline"},
}


def small(make: Any, kind: str) -> list[Any]:
    """Trials of studies in which something is missing."""
    trial = make.trial
    one = trial([0.5], {"optimizer.lr": 0.01}, [0.3, 0.5], [("cpu0", 0, 10)], space=LR)
    two = trial([0.6], {"optimizer.lr": 0.02}, [0.3, 0.6], [("cpu0", 11, 20)], space=LR)
    runs = trial(None, {"optimizer.lr": 0.02}, [0.3], [("cpu1", 0, None)], RUNNING, LR)
    bad = trial(None, {"optimizer.lr": 0.01}, (), [("cpu0", 10, 12)], FAIL, LR)
    cut = trial([0.1], {"optimizer.lr": 0.03}, [0.1], [("cpu0", 10, 11)], PRUNED, LR)
    if kind == "no parameters":
        return [trial([0.1 * n], {}, attempts=[("cpu0", n, n + 1)]) for n in range(6)]
    if kind == "one parameter":
        return [
            trial([0.1 * n], {"optimizer.lr": 10 ** (-4 + n / 4)}, (), [("w", n, n + 1)], space=LR)
            for n in range(9)
        ]
    if kind == "words":
        choices = [{"loss": ("ce", "dice")[n % 2], "aug": n % 3 == 0} for n in range(9)]
        return [trial([0.1 * n], choices[n], (), [("w", n, n + 1)], space=WORDS) for n in range(9)]
    return {
        "none": [],
        "one": [one],
        "two": [one, two],
        "failed": [bad, bad],
        "running": [one, runs],
        "pruned": [one, cut, cut, cut],
        "alike": [one] * 8,
    }[kind]


def words(figure: Figure) -> list[tuple[Text, Any]]:
    """The texts of a figure that are seen, with their places; marks inside the plot left out."""
    with styled():
        figure.canvas.draw()
    texts = [*figure.texts]
    for axes in figure.axes:
        if axes.get_visible():
            # Of the three places a title may have, the left one is used.
            texts += [axes.title, axes._left_title]  # type: ignore[attr-defined]
            if axes.axison:
                texts += [axes.xaxis.label, axes.yaxis.label]
                texts += [
                    label
                    for label in (*axes.get_xticklabels(), *axes.get_yticklabels())
                    if _inside(axes, label)
                ]
    for legend in figure.legends:
        texts += legend.get_texts()
    return [
        (text, text.get_window_extent())
        for text in texts
        if text.get_visible() and text.get_text().strip()
    ]


def _inside(axes: Axes, label: Text) -> bool:
    """Ticks beyond the ends of an axis have labels that are never drawn."""
    x, y = label.get_transform().transform(label.get_position())
    box = axes.get_window_extent()
    if label in axes.get_xticklabels():
        return bool(box.x0 - 1 <= x <= box.x1 + 1)
    return bool(box.y0 - 1 <= y <= box.y1 + 1)


def assert_readable(figure: Figure) -> None:
    """No two texts overlap, and none leaves the page."""
    found = words(figure)
    width, height = figure.canvas.get_width_height()  # type: ignore[attr-defined]
    for text, box in found:
        assert box.x0 >= -1, f"{text.get_text()!r} leaves the page"
        assert box.x1 <= width + 1, f"{text.get_text()!r} leaves the page"
        assert box.y0 >= -1, f"{text.get_text()!r} leaves the page"
        assert box.y1 <= height + 1, f"{text.get_text()!r} leaves the page"
    for (one, first), (other, second) in combinations(found, 2):
        if one.get_rotation() % 90 or other.get_rotation() % 90:
            continue
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across < 1 or up < 1, f"{one.get_text()!r} and {other.get_text()!r} overlap"


def drawn(view: StudyView) -> dict[str, Figure]:
    """All figures of a study that can be drawn; what cannot says so by one kind of error only."""
    found = {}
    for drawing in drawings(view):
        try:
            found[drawing.name] = drawing(view)
        except NotDrawableError:
            continue
    return found


@pytest.mark.parametrize("kind", DRAWN)
def test_small_and_odd_studies(make: Any, kind: str) -> None:
    figures = drawn(read_study(make(small(make, kind), n_trials=10)))
    assert set(figures) == DRAWN[kind]
    for figure in figures.values():
        assert_readable(figure)


def test_simulated_study(swept: Any) -> None:
    figures = drawn(read_study(swept))
    assert set(figures) == ONE_TRIAL | {"importance", "contour"}
    for figure in figures.values():
        assert_readable(figure)


@pytest.mark.parametrize(
    "kind",
    [
        "numeric",
        "conditional",
        "two objectives",
        pytest.param("three objectives", marks=pytest.mark.slow),
    ],
)
def test_other_spaces(make: Any, kind: str) -> None:
    goals = [
        ("val/miou", "maximize"),
        ("cost/latency_ms", "minimize"),
        ("cost/params_m", "minimize"),
    ]
    trials, objectives = {
        "numeric": lambda: (make.numeric(), [("val/loss", "minimize")]),
        "conditional": lambda: (make.conditional(), goals[:1]),
        "two objectives": lambda: (make.fronts(2), goals[:2]),
        "three objectives": lambda: (make.fronts(3), goals),
    }[kind]()
    name = "a_study_with_a_name_that_is_longer_than_any_title_should_be"
    figures = drawn(read_study(make(trials, name=name, objectives=objectives)))
    assert len(figures) >= 6
    for figure in figures.values():
        assert_readable(figure)


def test_pause_of_a_study(make: Any) -> None:
    day = 86_400.0
    spans = [(0, 3600), (3600 + day, 7200 + day)]
    folder = make([make.trial([0.5], attempts=[("a", *span)]) for span in spans])
    assert_readable(timeline_figure(read_study(folder)))


def test_interpolations_are_no_formulas(make: Any) -> None:
    choices = ("${data.a}^${data.b}", r"$\frac{$")
    space = {"a.$x^$": CategoricalDistribution(choices), "a.y": FloatDistribution(0, 1)}
    trials = [
        make.trial(
            [0.1 * n],
            {"a.$x^$": choices[n % 2], "a.y": n / 9},
            (),
            [("$w^$", n, n + 1)],
            space=space,
        )
        for n in range(9)
    ]
    figures = drawn(read_study(make(trials)))
    assert set(figures) == {"history", "importance", "parallel", "contour", "slice", "timeline"}
    for figure in figures.values():
        assert_readable(figure)


@pytest.mark.slow
def test_many_workers_and_parameters(make: Any) -> None:
    names = [f"model.part_{letter}" for letter in "abcdefghijkl"]
    space = {name: FloatDistribution(0, 1) for name in names}
    rng = np.random.default_rng(0)
    trials = [
        make.trial(
            [float(rng.uniform())],
            {name: float(rng.uniform()) for name in names},
            space=space,
            attempts=[(f"gpu{number % 32}", number * 3, number * 3 + 90)],
        )
        for number in range(64)
    ]
    for figure in drawn(read_study(make(trials))).values():
        assert_readable(figure)
