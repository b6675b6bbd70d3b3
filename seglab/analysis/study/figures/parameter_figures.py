"""What the parameters do to the score: importance, one at a time, two at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from seglab.analysis.study.figures.chart import Axis, Bars, Chart, Dots, Layer, Panel, Shades
from seglab.analysis.study.figures.figure import study_figure
from seglab.analysis.study.figures.surface import score_surface
from seglab.analysis.study.importance import RELIABLE_FROM, importance_table, ranked_params
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import (
    BEST,
    COLOURS,
    Floats,
    NotDrawableError,
    best_number,
    finished_values,
    heading,
    metric_label,
    spread,
    value_limits,
)
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.style import BLUE, SKY
from seglab.core.text.wording import joined

# The pale half of the blues is no colour on white.
_LATE = LinearSegmentedColormap.from_list(
    "late", mpl.colormaps["Blues"](np.linspace(0.25, 1.0, 64))
)
_MAX_PARAMS = 12
_MAX_SLICES = 9
_METHODS = {
    "fANOVA": (BLUE, "fANOVA: share of the variance over the whole space"),
    "PED-ANOVA": (SKY, "PED-ANOVA: what sets the best trials apart"),
}


@study_figure(
    "importance",
    "Importance of the parameters",
    "Bars that differ by less than their thin lines are not told apart by these trials.",
)
def importance_figure(view: StudyView, objective: int = 0) -> Chart:
    """Draw how much each parameter matters, with the spread over bootstrap samples of the trials.

    Raises:
        NotDrawableError: Too few finished trials; see `importance_table`.
    """
    table = importance_table(view, objective)
    names = list(dict.fromkeys(table["param"]))[:_MAX_PARAMS]
    count, goal = len(view.finished(objective)), view.objectives[objective]
    bars = []
    for place, (method, (colour, label)) in enumerate(_METHODS.items()):
        rows = table[(table["method"] == method) & table["param"].isin(names)]
        at = rows["param"].map(names.index).to_numpy(float) + (place - 0.5) * 0.36
        value, ends = rows["importance"].to_numpy(float), rows[["low", "high"]].to_numpy(float)
        hints = [f"{name}: {share:.3f}" for name, share in zip(rows["param"], value, strict=True)]
        bars.append(Bars(at, 0.0 * value, value, colour, label, 0.32, ends, hints=hints))
    remarks = ["importance (sums to 1 over the parameters); thin lines: 80 % of bootstrap samples"]
    x = Axis("\n".join(remarks + _warnings(view, table, count)), (0, 1))
    labels = [(float(place), view.scales[name].label) for place, name in enumerate(names)]
    panel = Panel(x, Axis("", (len(names) - 0.4, -0.6), labels), bars, rows=True)
    title = heading(view, f"what {goal.metric} depends on, {count} finished trials")
    return Chart(title, [panel], (7.0, 1.9 + 0.5 * len(names)), legend=1)


def _warnings(view: StudyView, table: pd.DataFrame, count: int) -> list[str]:
    sentences = []
    if count < RELIABLE_FROM:
        sentences.append(
            f"Unreliable: {count} finished trials are few; {RELIABLE_FROM} or more are wanted."
        )
    pruned = int((view.trials["state"] == "pruned").sum())
    if pruned:
        sentences.append(
            f"{pruned} pruned trials do not count: what got them pruned matters more than shown."
        )
    known = set(table.loc[table["method"] == "fANOVA", "param"])
    conditional = list(table.loc[~table["param"].isin(known), "label"])
    if conditional:
        sentences.append(f"Not in every trial, so PED-ANOVA only: {joined(conditional)}.")
    return sentences


@study_figure(
    "slice",
    "One parameter at a time",
    "A parameter that matters makes a slope or a hill; one that does not, a cloud.",
)
def slice_figure(view: StudyView, objective: int = 0, params: Sequence[str] | None = None) -> Chart:
    """Draw the value of finished trials over each parameter alone, the most important first.

    Later trials are darker: where a sampler learns, they show where it ended up looking. Grey
    triangles on the lower edge are pruned trials, whose values are not those of whole trainings.

    Raises:
        NotDrawableError: No trial finished, or nothing was searched.
    """
    values = finished_values(view, objective)
    names = list(params or ranked_params(view, objective))[:_MAX_SLICES]
    if not names:
        raise NotDrawableError("nothing was searched")
    goal, numbers = view.objectives[objective], view.finished(objective)["number"].to_numpy(float)
    limits = value_limits(values, goal)
    panels = []
    for name in names:
        scale, (done, pruned) = view.scales[name], _places(view, objective, view.scales[name])
        layers = [
            _pruned(view, pruned, np.full(len(pruned), limits[0])),
            *_finished(view, objective, done, np.clip(values, *limits), numbers),
        ]
        panels.append(Panel(Axis.of(scale), Axis(metric_label(goal), limits), layers))
    columns = min(3, len(names))
    size = (1.2 + 2.9 * columns, 0.9 + 2.6 * math.ceil(len(names) / columns))
    # A study of one trial has one shade.
    shades = Shades(
        "trial", float(numbers.min()), float(max(numbers.max(), numbers.min() + 1)), _LATE
    )
    title = heading(view, f"one parameter at a time{_grey(view)}")
    return Chart(title, panels, size, columns, shades, shared=True)


def _places(
    view: StudyView, objective: int, scale: ParamScale, turn: int = 0
) -> tuple[Floats, Floats]:
    """Return where finished and pruned trials lie on the axis of a parameter."""
    pruned = view.trials[view.trials["state"] == "pruned"]
    done, cut = (
        spread(scale, view.places(rows, scale.name), turn)
        for rows in (view.finished(objective), pruned)
    )
    return done, cut


def _finished(
    view: StudyView, objective: int, x: Floats, y: Floats, shade: Floats
) -> tuple[Dots, Dots]:
    """Return the finished trials, and a star on the best."""
    numbers = view.finished(objective)["number"].to_numpy()
    best = numbers == best_number(view, objective)
    star = Dots(x[best], y[best], BEST, numbers[best], shape="*", size=12, above=6)
    return Dots(x, y, shade, numbers, size=5), star


def _pruned(view: StudyView, x: Floats, y: Floats) -> Dots:
    numbers = view.trials.loc[view.trials["state"] == "pruned", "number"]
    return Dots(x, y, COLOURS["pruned"], numbers, shape="v", size=4, above=2)


def _grey(view: StudyView) -> str:
    return " (grey: pruned)" if (view.trials["state"] == "pruned").any() else ""


@study_figure(
    "contour",
    "Pairs of parameters",
    "The ground is a smooth fit through the finished trials, white where none is near; trust the dots "
    "more. A best trial at the edge says that the range was too narrow.",
)
def contour_figure(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> Chart:
    """Draw the score over pairs of parameters: those of the three that matter most.

    A dot is a finished trial, the star the best. Where both parameters are numbers, the ground is a
    Gaussian process fitted to the trials, left white where no trial is near.

    Args:
        view: From `read_study`.
        objective: Which one, where there are several.
        params: Two or three names; the most important ones by default.

    Raises:
        NotDrawableError: Fewer than two parameters, or no trial finished.
    """
    values = finished_values(view, objective, least=2)
    names = list(params or ranked_params(view, objective))[:3]
    if len(names) < 2:
        raise NotDrawableError("a pair of parameters is needed, one was searched")
    pairs = list(combinations((view.scales[name] for name in names), 2))
    panels = [_pair(view, objective, pair, values) for pair in pairs]
    shades = Shades.of(values, view.objectives[objective])
    size = (6.4 if len(pairs) == 1 else 1.0 + 3.7 * len(pairs), 4.2)
    title = heading(view, f"pairs of parameters{_grey(view)}")
    return Chart(title, panels, size, len(pairs), shades)


def _pair(
    view: StudyView, objective: int, scales: tuple[ParamScale, ParamScale], values: Floats
) -> Panel:
    done = view.finished(objective)
    places = view.places(done, scales[0].name), view.places(done, scales[1].name)
    limits = value_limits(values, view.objectives[objective])
    ground = score_surface(scales, places, values, limits)
    across, up = (_places(view, objective, scale, turn) for turn, scale in enumerate(scales))
    layers: list[Layer] = [] if ground is None else [ground]
    layers.append(_pruned(view, across[1], up[1]))
    layers += _finished(view, objective, across[0], up[0], values)
    return Panel(Axis.of(scales[0]), Axis.of(scales[1]), layers)
