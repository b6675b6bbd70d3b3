"""How a study went, as pages to point at: plotly, hovering tells the trial behind a mark.

Drawn here rather than by `optuna.visualization`, whose figures show neither workers nor spread, and
draw contours between categories that have no order. The axes are those of the printed figures.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seglab.analysis.study.attempts import LOST, listed
from seglab.analysis.study.figures.progress_figures import reported_curves, step_name
from seglab.analysis.study.figures.timeline import natural_order
from seglab.analysis.study.importance import importance_table
from seglab.analysis.study.load import PARAM, StudyView
from seglab.analysis.study.marks import (
    BEST,
    COLOURS,
    NotDrawableError,
    best_number,
    finished_values,
    heading,
    metric_label,
    value_limits,
)
from seglab.analysis.study.summary import pareto_trials
from seglab.analysis.study.wording import number
from seglab.analysis.style import BLUE, INK, PALE, SKY
from seglab.core.escape import plotly_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SYMBOLS = {"finished": "circle", "pruned": "triangle-down", "failed": "x", "running": "diamond"}


def blank(title: str, **layout: Any) -> go.Figure:
    """Return an empty figure in the look of the printed ones."""
    import plotly.graph_objects as go

    axis = {
        "gridcolor": PALE,
        "linecolor": INK,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": INK,
        "title": {"standoff": 10},
        "automargin": True,
    }
    look = {
        "title": {"text": plotly_text(title), "x": 0.01, "font": {"size": 17}},
        "font": {"family": "DejaVu Sans, Verdana, sans-serif", "size": 13, "color": INK},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": -0.14, "x": 0},
        "margin": {"t": 60, "r": 30, "b": 90, "l": 80},
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
    }
    return go.Figure(layout={**look, **layout})


def describe(view: StudyView) -> dict[int, str]:
    """Return what hovering says of each trial: state, values, parameters, worker and time."""
    return {row["number"]: _describe(view, row) for row in view.trials.to_dict("records")}


def _describe(view: StudyView, row: Mapping[Hashable, Any]) -> str:
    lines = [f"<b>trial {row['number']}</b>, {row['state']}"]
    shown = {goal.metric: row[goal.metric] for goal in view.objectives}
    shown |= {name: row.get(f"{PARAM}{name}") for name in view.scales}
    for name, value in shown.items():
        if not (isinstance(value, float) and np.isnan(value)):
            text = number(value, 5) if isinstance(value, float) else str(value)
            lines.append(f"{plotly_text(name)}: {plotly_text(text)}")
    if isinstance(row["error"], str):
        lines.append(f"{plotly_text(str(row['reason']))}: {plotly_text(row['error'][:120])}")
    if isinstance(row["worker"], str):
        lines.append(f"{plotly_text(row['worker'])}, {row['duration_s']:.0f} s of work")
    return "<br>".join(lines)


def history_page(view: StudyView, objective: int = 0) -> go.Figure:
    """Return `history_figure` to point at."""
    goal, values = view.objectives[objective], finished_values(view, objective)
    told, rows = describe(view), view.trials
    rows = rows.assign(shown=rows[goal.metric])
    if len(view.objectives) == 1:
        rows["shown"] = rows["shown"].where(rows["state"] == "finished", rows["last_value"])
    low, high = value_limits(rows.loc[rows["state"] != "failed", "shown"].dropna(), goal)
    rows["shown"] = (
        rows["shown"].clip(low, high).where(~rows["state"].isin(["failed", "running"]), low)
    )
    figure = blank(
        heading(view, "every trial"),
        xaxis_title="trial",
        yaxis_title=plotly_text(metric_label(goal)),
    )
    for state, mine in rows.groupby("state", sort=False):
        if state in _SYMBOLS:
            figure.add_scatter(
                x=mine["number"],
                y=mine["shown"],
                mode="markers",
                name=state,
                hoverinfo="text",
                marker={"color": COLOURS[str(state)], "symbol": _SYMBOLS[str(state)], "size": 9},
                hovertext=[told[trial] for trial in mine["number"]],
            )
    done = view.finished(objective)
    best = np.maximum.accumulate(goal.sign * done[goal.metric].to_numpy(float)) * goal.sign
    figure.add_scatter(
        x=[*done["number"], rows["number"].max()],
        y=[*best, best[-1]],
        name="best so far",
        mode="lines",
        line={"shape": "hv", "color": INK},
        hoverinfo="skip",
    )
    winner = best_number(view, objective)
    figure.add_scatter(
        x=[winner],
        y=[best[-1]],
        mode="markers",
        name="best",
        hoverinfo="text",
        hovertext=told[winner or 0],
        marker={"symbol": "star", "size": 16, "color": BEST},
    )
    pad = 0.02 * (high - low) if len(values) else 0.0
    figure.update_yaxes(range=[low - pad, high + pad])
    return figure


def intermediate_page(view: StudyView) -> go.Figure:
    """Return `intermediate_figure` to point at."""
    curves = reported_curves(view)
    goal, told, winner = view.objectives[0], describe(view), best_number(view, 0)
    figure = blank(
        heading(view, "on the way"),
        xaxis_title=plotly_text(step_name(view)),
        yaxis_title=plotly_text(metric_label(goal)),
    )
    named: set[str] = set()
    for trial, state in curves:
        best = trial.number == winner
        name, colour = ("best", BEST) if best else (state, COLOURS[state])
        steps = sorted(trial.intermediate_values)
        figure.add_scatter(
            x=steps,
            y=[trial.intermediate_values[step] for step in steps],
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            mode="lines+markers",
            line={"color": colour, "width": 3 if best else 1.2},
            marker={
                "size": [3] * (len(steps) - 1) + [8],
                "symbol": _SYMBOLS.get(state, "circle"),
                "color": colour,
                "line": {"width": 0},
            },
            opacity=1.0 if best else 0.8,
            hoverinfo="y+text",
            hovertext=told[trial.number],
        )
        named.add(name)
    every = [value for trial, _ in curves for value in trial.intermediate_values.values()]
    figure.update_yaxes(range=value_limits(every, goal))
    return figure


def pareto_page(view: StudyView) -> go.Figure:
    """Return `pareto_figure` to point at; of more than two objectives each pair has a panel."""
    from plotly.subplots import make_subplots

    if len(view.objectives) < 2:
        raise NotDrawableError("a Pareto front needs at least two objectives")
    finished_values(view, 0)
    told, done, front = describe(view), view.finished(), pareto_trials(view)
    pairs = list(combinations(view.objectives, 2))[:3]
    figure = make_subplots(1, len(pairs), figure=blank(heading(view, "Pareto front")))
    groups = (
        (
            "other finished trials",
            done[~done["number"].isin(front["number"])],
            COLOURS["pruned"],
            7,
        ),
        (f"Pareto front ({len(front)} trials)", front, BLUE, 11),
    )
    for column, (first, second) in enumerate(pairs, start=1):
        for name, rows, colour, size in groups:
            figure.add_scatter(
                x=rows[first.metric],
                y=rows[second.metric],
                mode="markers",
                name=name,
                row=1,
                col=column,
                marker={"color": colour, "size": size},
                showlegend=column == 1,
                legendgroup=name,
                hoverinfo="text",
                hovertext=[told[trial] for trial in rows["number"]],
            )
        figure.update_xaxes(title_text=plotly_text(metric_label(first)), row=1, col=column)
        figure.update_yaxes(title_text=plotly_text(metric_label(second)), row=1, col=column)
    return figure


def importance_page(view: StudyView, objective: int = 0) -> go.Figure:
    """Return `importance_figure` to point at."""
    table = importance_table(view, objective)
    goal, count = view.objectives[objective], len(view.finished(objective))
    title = heading(view, f"what {goal.metric} depends on, {count} finished trials")
    figure = blank(
        title, barmode="group", xaxis_title="importance; lines: 80 % of bootstrap samples"
    )
    for method, colour in (("fANOVA", BLUE), ("PED-ANOVA", SKY)):
        rows = table[table["method"] == method]
        error = {
            "array": rows["high"] - rows["importance"],
            "arrayminus": rows["importance"] - rows["low"],
            "type": "data",
            "symmetric": False,
            "color": INK,
            "thickness": 1.2,
        }
        figure.add_bar(
            x=rows["importance"],
            y=rows["label"].map(plotly_text),
            orientation="h",
            name=method,
            error_x=error,
            marker_color=colour,
            hovertext=rows["param"].map(plotly_text),
            hoverinfo="text+x",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(range=[0, 1])
    return figure


def timeline_page(view: StudyView) -> go.Figure:
    """Return `timeline_figure` to point at; time is the clock, with pauses as they were."""
    attempts = view.attempts
    if attempts.empty:
        raise NotDrawableError("no trial was started")
    told = describe(view)
    figure = blank(heading(view, "workers"), barmode="overlay", xaxis_title="time (UTC)")
    for outcome, rows in attempts.groupby("outcome", sort=False):
        start = pd.to_datetime(rows["started"], unit="s").dt.round("ms")
        figure.add_bar(
            base=start,
            x=((rows["ended"] - rows["started"]) * 1000).clip(lower=1.0),
            y=rows["lane"].map(plotly_text),
            orientation="h",
            name="broken off, taken up again" if outcome == LOST else outcome,
            marker={
                "color": COLOURS.get(str(outcome), SKY),
                "line": {"color": "white", "width": 1},
            },
            hoverinfo="text",
            hovertext=_attempt_texts(rows, told),
            text=rows["number"].astype(str),
            textposition="inside",
            insidetextanchor="middle",
        )
    figure.update_xaxes(type="date")
    lanes = map(plotly_text, sorted(attempts["lane"].unique(), key=natural_order))
    figure.update_yaxes(
        autorange="reversed", type="category", categoryorder="array", categoryarray=list(lanes)
    )
    return figure


def _attempt_texts(rows: pd.DataFrame, told: dict[int, str]) -> Sequence[str]:
    return [
        f"{told[row.number]}<br>start {row.attempt}: {row.ended - row.started:.1f} s"
        for row in listed(rows)
    ]
