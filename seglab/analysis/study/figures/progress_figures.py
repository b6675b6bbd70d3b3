"""How a study went: values in order of trials, curves of single trials, several objectives at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial

from seglab.analysis.study.load import StudyObjective, StudyView
from seglab.analysis.study.marks import (
    BEST,
    COLOURS,
    MARKERS,
    NotDrawableError,
    best_number,
    finished_values,
    heading,
    metric_label,
    value_limits,
)
from seglab.analysis.study.summary import best_trials, pareto_trials
from seglab.analysis.study.wording import number
from seglab.analysis.style import BLUE, INK, MUTED, new_figure, styled

_MAX_PANELS = 3
# So many dots are drawn smaller.
_MANY = 300


def history_figure(view: StudyView, objective: int = 0) -> Figure:
    """Draw the value of each trial in order, with the best so far.

    Pruned trials stand at the last value they reported, failed ones on the lower edge. Values far
    on the bad side are drawn at the edge, so that they do not press the others together.

    Args:
        view: From `read_study`.
        objective: Which one, where there are several.

    Returns:
        A figure of 7.5 x 3.9 inches.

    Raises:
        NotDrawableError: No trial finished.
    """
    goal = view.objectives[objective]
    values = finished_values(view, objective)
    # Reports of pruned trials are of the one objective there is when there is pruning.
    pruned = view.trials[(view.trials["state"] == "pruned") & view.trials["last_value"].notna()]
    pruned = pruned if len(view.objectives) == 1 else pruned.iloc[:0]
    limits = value_limits([*values, *pruned["last_value"]], goal)
    with styled():
        figure = new_figure(7.5, 3.9)
        axes = figure.subplots()
        axes.set_ylim(*limits)
        done = view.finished(objective)
        _dots(axes, pruned["number"], pruned["last_value"], "pruned", "pruned (last report)")
        _dots(axes, done["number"], done[goal.metric], "finished", "finished")
        _edge(axes, view)
        _best_so_far(axes, view, objective)
        axes.set(xlabel="trial", ylabel=metric_label(goal), title=heading(view, "every trial"))
        last = max(view.trials["number"].max(), (view.budget or 1) - 1)
        axes.set_xlim(-0.02 * last - 0.6, 1.02 * last + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        figure.legend(loc="outside lower center", ncols=6)
    return figure


def _dots(axes: Axes, x: object, y: object, state: str, label: str) -> None:
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if not len(across):
        return
    low, high = axes.get_ylim()
    inside = np.clip(up, low, high)
    axes.plot(
        across,
        inside,
        MARKERS[state],
        color=COLOURS[state],
        label=label,
        markersize=4.5 if len(across) < _MANY else 3,
        clip_on=False,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
    )
    beyond = up != inside
    if beyond.any():
        axes.plot(
            across[beyond],
            inside[beyond],
            "o",
            markersize=8,
            markerfacecolor="none",
            zorder=4,
            markeredgecolor=COLOURS[state],
            clip_on=False,
            label="beyond the axis",
        )


def _edge(axes: Axes, view: StudyView) -> None:
    """Mark failed and running trials, which have no value, on the lower edge."""
    for state in ("failed", "running"):
        numbers = view.trials.loc[view.trials["state"] == state, "number"]
        if len(numbers):
            axes.plot(
                numbers,
                [axes.get_ylim()[0]] * len(numbers),
                MARKERS[state],
                label=state,
                color=COLOURS[state],
                markersize=6,
                clip_on=False,
                zorder=4,
                markeredgecolor="white",
                markeredgewidth=0.5,
            )


def _best_so_far(axes: Axes, view: StudyView, objective: int) -> None:
    goal = view.objectives[objective]
    done = view.finished(objective).sort_values("number")
    best = np.maximum.accumulate(goal.sign * done[goal.metric].to_numpy(float)) * goal.sign
    last = int(view.trials["number"].max())
    axes.step(
        [*done["number"], last],
        [*best, best[-1]],
        where="post",
        color=INK,
        linewidth=1.3,
        label="best so far",
        zorder=2,
    )
    first = best_trials(view, 1, objective).iloc[0]
    winner, value = int(first["number"]), float(first[goal.metric])
    axes.plot(
        [winner],
        [value],
        "*",
        color=BEST,
        markersize=12,
        zorder=5,
        clip_on=False,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label=f"best: trial {winner}, {value:.4g}",
    )


def reported_curves(view: StudyView) -> list[tuple[FrozenTrial, str]]:
    """Return the trials that reported values on their way, each with its state; the best comes last.

    Raises:
        NotDrawableError: There are several objectives, or no trial reported two values.
    """
    if len(view.objectives) > 1:
        raise NotDrawableError("with several objectives trials report no values on their way")
    states = dict(zip(view.trials["number"], view.trials["state"], strict=True))
    found = [trial for trial in view.frozen if trial.intermediate_values]
    if not any(len(trial.intermediate_values) > 1 for trial in found):
        raise NotDrawableError("no trial reported more than one value on its way")
    winner = best_number(view, 0)
    return [
        (trial, states[trial.number])
        for trial in sorted(found, key=lambda one: one.number == winner)
    ]


def intermediate_figure(view: StudyView) -> Figure:
    """Draw what each trial reported on its way: finished, pruned, failed ones, and the best.

    Returns:
        A figure of 7.5 x 4.2 inches.

    Raises:
        NotDrawableError: There are several objectives, or no trial reported two values.
    """
    curves = reported_curves(view)
    goal, winner = view.objectives[0], best_number(view, 0)
    every = [value for trial, _ in curves for value in trial.intermediate_values.values()]
    with styled():
        figure = new_figure(7.5, 4.2)
        axes = figure.subplots()
        for trial, state in curves:
            alpha = 0.75 if len(curves) <= 60 else 0.4
            _curve(
                axes, trial, state, 1.0 if trial.number == winner else alpha, trial.number == winner
            )
        for state in sorted({state for _, state in curves}):
            mark = MARKERS[state] if state in ("pruned", "failed") else None
            axes.plot([], [], color=COLOURS[state], marker=mark, markersize=4.5, label=state)
        if winner is not None:
            axes.plot([], [], color=BEST, linewidth=2, label=f"best: trial {winner}")
        axes.set_ylim(*value_limits(every, goal))
        axes.set(
            xlabel=step_name(view), ylabel=metric_label(goal), title=heading(view, "on the way")
        )
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        figure.legend(loc="outside lower center", ncols=5)
    return figure


def _curve(axes: Axes, trial: FrozenTrial, state: str, alpha: float, is_best: bool) -> None:
    steps = sorted(trial.intermediate_values)
    up = [trial.intermediate_values[step] for step in steps]
    colour = BEST if is_best else COLOURS[state]
    order = 5 if is_best else (2 if state == "pruned" else 3)
    axes.plot(steps, up, color=colour, linewidth=2 if is_best else 1, alpha=alpha, zorder=order)
    if state in ("pruned", "failed") or len(steps) == 1:
        axes.plot(
            steps[-1:],
            up[-1:],
            MARKERS.get(state, "o"),
            color=COLOURS[state],
            markersize=4.5,
            zorder=4,
        )


def step_name(view: StudyView) -> str:
    """Return what a step of a trial is: a fold where trials are cross-validations, else an epoch."""
    config = view.asked.get("base_config") or {}
    return "fold" if config.get("cv") else "epoch"


def pareto_figure(view: StudyView) -> Figure:
    """Draw the finished trials of several objectives against each other, the Pareto front marked.

    With three objectives each pair has a panel; the front is that of all objectives together.

    Raises:
        NotDrawableError: There is one objective only, or no trial finished.
    """
    if len(view.objectives) < 2:
        raise NotDrawableError("a Pareto front needs at least two objectives")
    finished_values(view, 0)
    front, done = pareto_trials(view), view.finished()
    pairs = list(combinations(range(len(view.objectives)), 2))[:_MAX_PANELS]
    with styled():
        figure = new_figure(5.6 if len(pairs) == 1 else 4.0 * len(pairs), 4.4)
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (first, second) in zip(panels, pairs, strict=True):
            goals = view.objectives[first], view.objectives[second]
            across, up = (goal.metric for goal in goals)
            axes.plot(
                done[across],
                done[up],
                "o",
                color=COLOURS["pruned"],
                markersize=4,
                alpha=0.8,
                label="other finished trials",
            )
            ordered = front.sort_values(across)
            if len(view.objectives) == 2:
                _front_line(axes, ordered[across].to_numpy(), ordered[up].to_numpy(), goals)
            axes.plot(
                ordered[across],
                ordered[up],
                "o",
                color=BLUE,
                markersize=6,
                zorder=4,
                markeredgecolor="white",
                label=f"Pareto front ({len(front)} trials)",
            )
            _name_points(axes, ordered["number"], ordered[across], ordered[up])
            axes.set(xlabel=metric_label(goals[0]), ylabel=metric_label(goals[1]))
            axes.margins(0.08)
        panels[0].set_title(heading(view, "Pareto front"))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _front_line(
    axes: Axes, x: np.ndarray, y: np.ndarray, goals: tuple[StudyObjective, ...]
) -> None:
    """Draw the border of what the front dominates."""
    # Along x, towards worse x, the level of y is that of the better neighbour.
    where = "pre" if goals[0].maximises else "post"
    axes.step(x, y, where=where, color=BLUE, linewidth=1.2, alpha=0.7, zorder=3)  # type: ignore[arg-type]


def _name_points(axes: Axes, numbers: object, x: object, y: object, limit: int = 12) -> None:
    """Write trial numbers beside points: as many as can be read."""
    listed = list(zip(np.asarray(numbers), np.asarray(x), np.asarray(y), strict=True))
    step = max(1, -(-len(listed) // limit))
    for place, (trial, across, up) in enumerate(listed):
        if place % step == 0 or place == len(listed) - 1:
            axes.annotate(
                number(float(trial)),
                (across, up),
                xytext=(4, 4),
                fontsize=7,
                color=MUTED,
                textcoords="offset points",
                zorder=5,
            )
