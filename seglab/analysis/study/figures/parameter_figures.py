"""What the parameters do to the score: importance, one at a time, two at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from seglab.analysis.study.figures.surface import score_surface
from seglab.analysis.study.importance import RELIABLE_FROM, importance_table, ranked_params
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import (
    BEST,
    COLOURS,
    Floats,
    NotDrawableError,
    best_number,
    colour_bar,
    colour_scale,
    finished_values,
    heading,
    metric_label,
    spread,
    value_limits,
)
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.study.wording import joined
from seglab.analysis.style import BLUE, MUTED, SKY, new_figure, styled

# The pale half of the blues is no colour on white.
_LATE = LinearSegmentedColormap.from_list(
    "late", mpl.colormaps["Blues"](np.linspace(0.25, 1.0, 64))
)
_MAX_PARAMS = 12
_MAX_SLICES = 9
# So many dots are drawn smaller.
_MANY = 150
_METHODS = {
    "fANOVA": (BLUE, "fANOVA: share of the variance over the whole space"),
    "PED-ANOVA": (SKY, "PED-ANOVA: what sets the best trials apart"),
}


def importance_figure(view: StudyView, objective: int = 0) -> Figure:
    """Draw how much each parameter matters, with the spread over bootstrap samples of the trials.

    Raises:
        NotDrawableError: Too few finished trials; see `importance_table`.
    """
    table = importance_table(view, objective)
    names = list(dict.fromkeys(table["param"]))[:_MAX_PARAMS]
    count, goal = len(view.finished(objective)), view.objectives[objective]
    with styled():
        figure = new_figure(7.0, 1.9 + 0.5 * len(names))
        axes = figure.subplots()
        for place, (method, (colour, label)) in enumerate(_METHODS.items()):
            rows = table[table["method"] == method].set_index("param").reindex(names)
            _bars(axes, rows, place, colour, label)
        axes.set_yticks(range(len(names)), [view.scales[name].label for name in names])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        remarks = [
            "importance (sums to 1 over the parameters); thin lines: 80 % of bootstrap samples"
        ]
        axes.set(xlim=(0, 1), xlabel="\n".join(remarks + _warnings(view, table, count)))
        axes.set_title(heading(view, f"what {goal.metric} depends on, {count} finished trials"))
        figure.legend(loc="outside lower center", ncols=1)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, place: int, colour: str, label: str) -> None:
    known = rows["importance"].notna().to_numpy()
    y = np.arange(len(rows))[known] + (place - 0.5) * 0.36
    value = rows["importance"].to_numpy(float)[known]
    ends = rows[["low", "high"]].to_numpy(float)[known]
    axes.barh(y, value, height=0.32, color=colour, label=label, zorder=2)
    axes.hlines(y, ends[:, 0], ends[:, 1], color=BEST, linewidth=1.1, zorder=3)


def _warnings(view: StudyView, table: pd.DataFrame, count: int) -> list[str]:
    said = []
    if count < RELIABLE_FROM:
        said.append(
            f"Unreliable: {count} finished trials are few; {RELIABLE_FROM} or more are wanted."
        )
    pruned = int((view.trials["state"] == "pruned").sum())
    if pruned:
        said.append(
            f"{pruned} pruned trials do not count: what got them pruned matters more than shown."
        )
    known = set(table.loc[table["method"] == "fANOVA", "param"])
    conditional = [
        label
        for name, label in zip(table["param"], table["label"], strict=True)
        if name not in known
    ]
    if conditional:
        said.append(f"Not in every trial, so PED-ANOVA only: {joined(conditional)}.")
    return said


def slice_figure(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> Figure:
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
    goal, done = view.objectives[objective], view.finished(objective)
    pruned = view.trials[view.trials["state"] == "pruned"]
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    with styled():
        figure = new_figure(1.2 + 2.9 * columns, 0.9 + 2.6 * rows)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
        numbers = done["number"].to_numpy(float)
        for place, axes in enumerate(panels.flat):
            if place >= len(names):
                axes.set_visible(False)
                continue
            scale = view.scales[names[place]]
            across = spread(scale, view.places(done, scale.name))
            axes.set_ylim(*value_limits(values, goal))
            dots = axes.scatter(
                across,
                np.clip(values, *axes.get_ylim()),
                c=numbers,
                cmap=_LATE,
                s=22,
                edgecolors=MUTED,
                linewidths=0.4,
                clip_on=False,
                zorder=3,
            )
            left_out = spread(scale, view.places(pruned, scale.name))
            _grey_marks(axes, left_out, np.full(len(left_out), axes.get_ylim()[0]))
            _star(axes, across, values, done["number"] == best_number(view, objective))
            scale.dress(axes.xaxis)
            _tilt(axes, scale)
        figure.supylabel(metric_label(goal), fontsize=9)
        panels[0, 0].set_title(heading(view, f"one parameter at a time{_grey(view)}"))
        bar = figure.colorbar(dots, ax=panels, pad=0.02, aspect=30)
        bar.set_label("trial")
        bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _grey_marks(axes: Axes, x: Floats, y: Floats) -> None:
    # A line without points, not clipped, has no extent, and the layout breaks down.
    if np.isfinite(x + y).any():
        axes.plot(x, y, "v", markersize=4, color=COLOURS["pruned"], clip_on=False, zorder=2)


def _grey(view: StudyView) -> str:
    return " (grey: pruned)" if (view.trials["state"] == "pruned").any() else ""


def _tilt(axes: Axes, scale: ParamScale) -> None:
    if sum(len(text) for _, text in scale.ticks()) > 26:
        axes.tick_params("x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _star(axes: Axes, x: Floats, y: Floats, is_best: pd.Series) -> None:
    mask = is_best.to_numpy()
    axes.plot(
        x[mask],
        y[mask],
        "*",
        color=BEST,
        markersize=12,
        markeredgecolor="white",
        markeredgewidth=0.7,
        zorder=6,
        clip_on=False,
    )


def contour_figure(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> Figure:
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
    pairs = list(combinations(names, 2))
    with styled():
        figure = new_figure(6.4 if len(pairs) == 1 else 1.0 + 3.7 * len(pairs), 4.2)
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (first, second) in zip(panels, pairs, strict=True):
            _pair(axes, view, objective, (view.scales[first], view.scales[second]))
        panels[0].set_title(heading(view, f"pairs of parameters{_grey(view)}"))
        colour_bar(figure, list(panels), values, view.objectives[objective])
    return figure


def _pair(
    axes: Axes, view: StudyView, objective: int, scales: tuple[ParamScale, ParamScale]
) -> None:
    goal, done = view.objectives[objective], view.finished(objective)
    values = done[goal.metric].to_numpy(float)
    colours, norm = colour_scale(values, goal)
    limits = value_limits(values, goal)
    places = view.places(done, scales[0].name), view.places(done, scales[1].name)
    ground = score_surface(scales, places, values, limits)
    if ground is not None:
        axes.contourf(
            ground.x,
            ground.y,
            ground.score,
            levels=np.linspace(*limits, 13),
            cmap=colours,
            norm=norm,
            alpha=0.55,
            extend="both",
            zorder=1,
        )
    pruned = view.trials[view.trials["state"] == "pruned"]
    _grey_marks(
        axes,
        *(
            spread(scale, view.places(pruned, scale.name), turn)
            for turn, scale in enumerate(scales)
        ),
    )
    across, up = spread(scales[0], places[0], 0), spread(scales[1], places[1], 1)
    size = 30 if len(done) < _MANY else 14
    axes.scatter(
        across,
        up,
        c=values,
        cmap=colours,
        norm=norm,
        s=size,
        edgecolors="white",
        linewidths=0.7,
        zorder=4,
        clip_on=False,
    )
    _star(axes, across, up, done["number"] == best_number(view, objective))
    for axis, scale in zip((axes.xaxis, axes.yaxis), scales, strict=True):
        scale.dress(axis)
    _tilt(axes, scales[0])
