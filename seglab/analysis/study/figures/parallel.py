"""All parameters of all trials at once: parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from seglab.analysis.study.figures.chart import Shades
from seglab.analysis.study.figures.figure import study_figure
from seglab.analysis.study.figures.pages import blank, colour_axis
from seglab.analysis.study.importance import ranked_params
from seglab.analysis.study.load import StudyObjective, StudyView
from seglab.analysis.study.marks import (
    BEST,
    Floats,
    NotDrawableError,
    best_number,
    finished_values,
    heading,
    jitter,
)
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.style import INK, MUTED, PALE, Look, new_figure, styled
from seglab.core.text.escape import plotly_text
from seglab.core.text.wording import plural

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MAX_AXES = 9
# Where trials run that have no such parameter; below the axis itself.
ABSENT = -0.14
_NOT_SET = "not set"
_SMOOTH = 24
_FREE: Look = {"textcoords": "offset points", "annotation_clip": False}
_BOX: Look = {
    "facecolor": "white",
    "edgecolor": PALE,
    "linewidth": 0.4,
    "alpha": 0.85,
    "boxstyle": "round,pad=0.15",
}
# Categories stay clear of the ends of their axis.
_MARGIN = 0.07


@dataclass(frozen=True)
class Lines:
    """Finished trials as lines over axes, the least important parameter first, the value last.

    Attributes:
        view: Of the study.
        goal: The objective.
        scales: Of the parameters.
        places: Height of each trial on the axis of each, `(N, axes)`, as `line_places`.
        values: Of each trial, kept within the shades.
        best: Which line is the best.
        shades: Of the values.
    """

    view: StudyView
    goal: StudyObjective
    scales: Sequence[ParamScale]
    places: Floats
    values: Floats
    best: npt.NDArray[np.bool_]
    shades: Shades

    def ticks(self, axis: int) -> list[tuple[float, str]]:
        """Return heights on an axis with what to write there."""
        return line_ticks(self.scales[axis], bool((self.places[:, axis] < 0).any()))


def print_lines(lines: Lines) -> Figure:
    """Draw for print, as smooth curves, the best on top."""
    low, high, count = lines.shades.low, lines.shades.high, len(lines.scales)
    points = np.column_stack([lines.places, (lines.values - low) / (high - low)])
    order = np.argsort(lines.goal.sign * lines.values, kind="stable")
    order = np.concatenate([order[~lines.best[order]], order[lines.best[order]]])
    best = lines.best[order]
    with styled():
        figure = new_figure(max(5.6, 1.7 * (count + 1)), 4.2)
        axes = figure.subplots()
        shade = lines.shades.colours(lines.shades.norm(lines.values[order]))
        axes.add_collection(
            LineCollection(
                [_curve(points[place]) for place in order],
                colors=np.where(best[:, None], to_rgba(BEST), shade),
                linewidths=np.where(best, 2.2, 1.0),
                alpha=np.where(best, 1.0, 0.75),
                zorder=2,
            )
        )
        for place, scale in enumerate(lines.scales):
            _axis(axes, place, scale.label, lines.ticks(place))
        _axis(axes, count, lines.goal.metric, line_ticks(ParamScale("", "", "linear", low, high)))
        lowest = ABSENT - 0.06 if (lines.places < 0).any() else -0.04
        axes.set(xlim=(-0.35, count + 0.45), ylim=(lowest, 1.04))
        axes.set_axis_off()
        trials = plural(len(lines.values), "finished trial")
        message = heading(lines.view, f"{trials}; dark is better, black the best")
        figure.suptitle(message, x=0.01, ha="left", fontsize=10)
    return figure


def page_lines(lines: Lines, _told: object = None) -> go.Figure:
    """Draw to work with: drag along an axis to choose trials, or axes aside."""
    dimensions = []
    for place, scale in enumerate(lines.scales):
        ticks = lines.ticks(place)
        dimensions.append(
            {
                "label": plotly_text(scale.label),
                "values": lines.places[:, place],
                "range": [min(0.0, *(at for at, _ in ticks)), 1.0],
                # The ticks of these axes alone are shown as they are, tags or not.
                "tickvals": [at for at, _ in ticks],
                "ticktext": [text for _, text in ticks],
            }
        )
    ends = [lines.shades.low, lines.shades.high]
    value = {"label": plotly_text(lines.goal.metric), "values": lines.values, "range": ends}
    line = {"color": lines.values, "coloraxis": "coloraxis"}
    trials = plural(len(lines.values), "finished trial")
    figure = blank(
        heading(lines.view, f"{trials}; drag along an axis to choose some"),
        margin={"t": 110, "r": 40, "b": 50, "l": 110},
        coloraxis=colour_axis(lines.shades),
    )
    return figure.add_parcoords(dimensions=[*dimensions, value], line=line)


@study_figure(
    "parallel",
    "Parallel coordinates",
    "Follow the dark lines: where they gather on an axis, that value goes with good scores.",
    printed=print_lines,
    paged=page_lines,
)
def parallel_figure(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> Lines:
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
    shades = Shades.of(values, goal)
    best = (view.finished(objective)["number"] == best_number(view, objective)).to_numpy()
    inside = np.clip(values, shades.low, shades.high)
    return Lines(view, goal, scales, line_places(view, objective, scales), inside, best, shades)


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
    look: Look = {"ha": "center", "va": "bottom", "fontsize": 9, "fontweight": "bold"}
    axes.annotate(name, (place, 1), xytext=(0, 10), **look, **_FREE)
    for height, text in ticks:
        if text != _NOT_SET:
            mark = [place - 0.02, place + 0.02]
            axes.plot(mark, [height, height], color=INK, linewidth=1.0, zorder=3)
        colour = INK if text != _NOT_SET else MUTED
        look = {"va": "center", "fontsize": 7.5, "color": colour, "zorder": 4, "bbox": _BOX}
        axes.annotate(text, (place, height), xytext=(5, 0), **look, **_FREE)
