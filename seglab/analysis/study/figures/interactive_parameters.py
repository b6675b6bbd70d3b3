"""What the parameters do to the score, as pages to point at: one, two, or all at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.analysis.study.figures.interactive import blank, describe
from seglab.analysis.study.figures.parallel import line_places, line_ticks
from seglab.analysis.study.figures.surface import score_surface
from seglab.analysis.study.importance import ranked_params
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import (
    BEST,
    COLOURS,
    NotDrawableError,
    best_number,
    finished_values,
    heading,
    metric_label,
    spread,
    value_limits,
)
from seglab.analysis.study.parameters import ParamScale
from seglab.core.escape import plotly_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MAX_AXES = 12
_MAX_SLICES = 9
_LATE = [[0, "#c6dbef"], [1, "#08306b"]]


def slice_page(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> go.Figure:
    """Return `slice_figure` to point at."""
    from plotly.subplots import make_subplots

    values, names = (
        finished_values(view, objective),
        _names(view, objective, params, 1)[:_MAX_SLICES],
    )
    goal, done, told = view.objectives[objective], view.finished(objective), describe(view)
    columns = min(3, len(names))
    figure = make_subplots(
        math.ceil(len(names) / columns),
        columns,
        shared_yaxes=True,
        figure=blank(heading(view, "one parameter at a time")),
    )
    limits = value_limits(values, goal)
    for place, name in enumerate(names):
        scale, where = view.scales[name], {"row": place // columns + 1, "col": place % columns + 1}
        figure.add_scatter(
            x=spread(scale, view.places(done, name)),
            y=np.clip(values, *limits),
            mode="markers",
            marker=_marks(view, objective, done["number"].to_numpy(), _LATE, place == 0),
            name=name,
            showlegend=False,
            hoverinfo="text",
            hovertext=[told[trial] for trial in done["number"]],
            **where,
        )
        figure.update_xaxes(**axis_of(scale), **where)
        figure.update_yaxes(range=limits, **where)
        if place % columns == 0:
            figure.update_yaxes(title_text=plotly_text(metric_label(goal)), **where)
    return figure


def _marks(
    view: StudyView, objective: int, colour: np.ndarray, scale: Any, bar: bool
) -> dict[str, Any]:
    best = view.finished(objective)["number"].to_numpy() == best_number(view, objective)
    return {
        "color": colour,
        "colorscale": scale,
        "showscale": bar,
        "opacity": 1,
        "size": np.where(best, 17, 9),
        "symbol": np.where(best, "star", "circle"),
        "line": {"color": BEST, "width": np.where(best, 1.5, 0.4)},
        "colorbar": _bar("trial"),
    }


def _bar(title: str) -> dict[str, Any]:
    return {"title": {"text": title, "side": "right"}, "outlinewidth": 0}


def contour_page(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> go.Figure:
    """Return `contour_figure` to point at."""
    from plotly.subplots import make_subplots

    values = finished_values(view, objective, least=2)
    pairs = list(combinations(_names(view, objective, params, 2)[:3], 2))
    goal, done, told = view.objectives[objective], view.finished(objective), describe(view)
    pruned = view.trials[view.trials["state"] == "pruned"]
    low, high = value_limits(values, goal)
    shades = "Viridis_r" if goal.maximises else "Viridis"
    figure = make_subplots(
        1,
        len(pairs),
        figure=blank(heading(view, "pairs of parameters")),
        horizontal_spacing=_gap(view, pairs),
    )
    for column, (first, second) in enumerate(pairs, start=1):
        x, y = view.scales[first], view.scales[second]
        across, up = (view.places(done, scale.name) for scale in (x, y))
        ground = score_surface((x, y), (across, up), values, (low, high))
        if ground is not None:
            figure.add_contour(
                x=ground.x,
                y=ground.y,
                z=ground.score,
                colorscale=shades,
                zmin=low,
                zmax=high,
                showscale=False,
                opacity=0.55,
                hoverinfo="skip",
                row=1,
                col=column,
                line_width=0,
            )
        marker = _marks(view, objective, np.clip(values, low, high), shades, column == 1)
        marker |= {"cmin": low, "cmax": high, "colorbar": _bar(plotly_text(metric_label(goal)))}
        figure.add_scatter(
            x=spread(x, across),
            y=spread(y, up, 1),
            mode="markers",
            marker=marker,
            showlegend=False,
            hoverinfo="text",
            hovertext=[told[trial] for trial in done["number"]],
            row=1,
            col=column,
        )
        figure.add_scatter(
            x=spread(x, view.places(pruned, first)),
            y=spread(y, view.places(pruned, second), 1),
            row=1,
            col=column,
            mode="markers",
            showlegend=False,
            hoverinfo="text",
            hovertext=[told[trial] for trial in pruned["number"]],
            marker={"symbol": "triangle-down", "size": 8, "color": COLOURS["pruned"]},
        )
        figure.update_xaxes(**axis_of(x), row=1, col=column)
        figure.update_yaxes(**axis_of(y), row=1, col=column)
    return figure


def _gap(view: StudyView, pairs: Sequence[tuple[str, str]]) -> float:
    """Return the room between panels: words beside an axis need more than numbers."""
    words = any(view.scales[second].kind == "category" for _, second in pairs)
    return (0.2 if words else 0.12) if len(pairs) > 1 else 0.0


def parallel_page(
    view: StudyView, objective: int = 0, params: Sequence[str] | None = None
) -> go.Figure:
    """Return `parallel_figure` to work with: drag along an axis to choose trials, or axes aside."""
    values, names = (
        finished_values(view, objective),
        _names(view, objective, params, 1)[:_MAX_AXES][::-1],
    )
    goal = view.objectives[objective]
    low, high = value_limits(values, goal)
    scales = [view.scales[name] for name in names]
    places = line_places(view, objective, scales)
    dimensions = []
    for scale, column in zip(scales, places.T, strict=True):
        ticks = line_ticks(scale, bool((column < 0).any()))
        dimensions.append(
            {
                "label": plotly_text(scale.label),
                "values": column,
                "range": [min(0.0, *(at for at, _ in ticks)), 1.0],
                # The ticks of these axes alone are shown as they are, tags or not.
                "tickvals": [at for at, _ in ticks],
                "ticktext": [text for _, text in ticks],
            }
        )
    dimensions.append(
        {
            "label": plotly_text(goal.metric),
            "values": np.clip(values, low, high),
            "range": [low, high],
        }
    )
    line = {
        "color": np.clip(values, low, high),
        "cmin": low,
        "cmax": high,
        "showscale": True,
        "colorscale": "Viridis_r" if goal.maximises else "Viridis",
        "colorbar": _bar(plotly_text(metric_label(goal))),
    }
    figure = blank(
        heading(view, f"{len(values)} finished trials; drag along an axis to choose some"),
        margin={"t": 110, "r": 40, "b": 50, "l": 110},
    )
    return figure.add_parcoords(dimensions=dimensions, line=line)


def axis_of(scale: ParamScale) -> dict[str, Any]:
    """Return plotly's words for the axis of a parameter."""
    ticks = scale.ticks()
    log = scale.kind == "log"
    return {
        "title_text": plotly_text(scale.title),
        "type": "log" if log else "linear",
        "range": [math.log10(end) if log else end for end in scale.ends()],
        "tickvals": [value for value, _ in ticks],
        "ticktext": [plotly_text(text) for _, text in ticks],
    }


def _names(view: StudyView, objective: int, params: Sequence[str] | None, least: int) -> list[str]:
    names = list(params or ranked_params(view, objective))
    if len(names) < least:
        raise NotDrawableError(f"{least} searched parameters are needed, there are {len(names)}")
    return names
