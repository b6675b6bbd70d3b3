"""All parameters of all trials at once: parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from seglab.analysis.study.importance import ranked_params
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import (
    BEST,
    Floats,
    NotDrawableError,
    best_number,
    colour_scale,
    finished_values,
    heading,
    jitter,
    value_limits,
)
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.study.wording import plural
from seglab.analysis.style import INK, MUTED, PALE, new_figure, styled

_MAX_AXES = 9
# Where trials run that have no such parameter; below the axis itself.
ABSENT = -0.14
_NOT_SET = "not set"
_SMOOTH = 24
# Categories stay clear of the ends of their axis.
_MARGIN = 0.07


def parallel_figure(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> Figure:
    """Draw each finished trial as a line across one axis a parameter, ending at its value.

    Good trials are dark and lie above the others, the best is black. Axes stand in order of
    importance, the most important beside the value. A trial that lacks a parameter passes below its
    axis, at `not set`.

    Raises:
        NotDrawableError: No trial finished, or nothing was searched.
    """
    values = finished_values(view, objective)
    names = list(params or ranked_params(view, objective))[:_MAX_AXES][::-1]
    if not names:
        raise NotDrawableError("nothing was searched")
    goal = view.objectives[objective]
    scales = [view.scales[name] for name in names]
    rows = line_places(view, objective, scales)
    limits = value_limits(values, goal)
    level = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    points = np.column_stack([rows, level])
    numbers = view.finished(objective)["number"].to_numpy()
    with styled():
        figure = new_figure(max(5.6, 1.7 * (len(names) + 1)), 4.2)
        axes = figure.subplots()
        order = np.argsort(goal.sign * values, kind="stable")
        colours, norm = colour_scale(values, goal)
        best = numbers[order] == best_number(view, objective)
        axes.add_collection(
            LineCollection(
                [_curve(points[place]) for place in order],
                colors=np.where(best[:, None], _rgba(BEST), colours(norm(values[order]))),
                linewidths=np.where(best, 2.2, 1.0),
                alpha=np.where(best, 1.0, 0.75),
                zorder=2,
            )
        )
        for place, scale in enumerate(scales):
            _axis(axes, place, scale.label, line_ticks(scale, bool((rows[:, place] < 0).any())))
        _axis(axes, len(names), goal.metric, line_ticks(ParamScale("", "", "linear", *limits)))
        lowest = ABSENT - 0.06 if (rows < 0).any() else -0.04
        axes.set(xlim=(-0.35, len(names) + 0.45), ylim=(lowest, 1.04))
        axes.set_axis_off()
        said = heading(
            view, f"{plural(len(values), 'finished trial')}; dark is better, black the best"
        )
        figure.suptitle(said, x=0.01, ha="left", fontsize=10)
    return figure


def line_places(view: StudyView, objective: int, scales: Sequence[ParamScale]) -> Floats:
    """Return the height 0..1 of each finished trial on each axis, `(N, axes)`; `ABSENT` where unset.

    Trials of one category are spread a little, so that their lines can be told apart.
    """
    columns = []
    for scale in scales:
        shares = heights(scale, view.places(view.finished(objective), scale.name))
        if scale.kind == "category":
            shares = shares + jitter(len(shares), 0.16 / max(2, len(scale.choices)))
        columns.append(np.where(np.isnan(shares), ABSENT + jitter(len(shares), 0.02), shares))
    return np.column_stack(columns)


def heights(scale: ParamScale, values: npt.ArrayLike) -> Floats:
    """Return how high values lie on their axis, 0..1."""
    shares = scale.shares(values)
    return _MARGIN + shares * (1 - 2 * _MARGIN) if scale.kind == "category" else shares


def _rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)), 1.0)


def _curve(up: Floats) -> np.ndarray:
    """Return a line that leaves each axis level, so that lines through one point can be followed."""
    places = np.arange(len(up), dtype=float)
    share = np.linspace(0, 1, _SMOOTH)
    ease = 3 * share**2 - 2 * share**3
    parts = [
        np.column_stack([left + share, up[k] + (up[k + 1] - up[k]) * ease])
        for k, left in enumerate(places[:-1])
    ]
    return np.concatenate(parts)


def line_ticks(scale: ParamScale, absent: bool = False) -> list[tuple[float, str]]:
    """Return heights on an axis with what to write there; with `absent` one for trials without it."""
    ticks = scale.ticks()
    places = heights(scale, [value for value, _ in ticks])
    found = [(float(place), text) for place, (_, text) in zip(places, ticks, strict=True)]
    return [(ABSENT, _NOT_SET), *found] if absent else found


def _axis(axes: Axes, place: int, name: str, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.0, zorder=3)
    axes.annotate(
        name,
        (place, 1),
        xytext=(0, 10),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=9,
        fontweight="bold",
        annotation_clip=False,
    )
    for height, text in ticks:
        if text != _NOT_SET:
            axes.plot(
                [place - 0.02, place + 0.02], [height, height], color=INK, linewidth=1.0, zorder=3
            )
        _write(axes, place, height, text)


def _write(axes: Axes, place: int, height: float, text: str) -> None:
    axes.annotate(
        text,
        (place, height),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=INK if text != _NOT_SET else MUTED,
        zorder=4,
        annotation_clip=False,
        bbox={
            "facecolor": "white",
            "edgecolor": PALE,
            "linewidth": 0.4,
            "alpha": 0.85,
            "boxstyle": "round,pad=0.15",
        },
    )
