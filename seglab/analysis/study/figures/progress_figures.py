"""How a study went: values in order of trials, curves of single trials, several objectives at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from seglab.analysis.study.figures.chart import Axis, Chart, Curve, Dots, Panel, outside
from seglab.analysis.study.figures.figure import study_figure
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
from seglab.analysis.style import BLUE

_MAX_PANELS = 3
_MAX_NAMES = 12
# So many curves are drawn fainter.
_MANY_CURVES = 60


@study_figure(
    "history",
    "Every trial",
    "The line is the best so far. Where it has been flat for long, more trials of the same kind will "
    "hardly help.",
)
def history_figure(view: StudyView, objective: int = 0) -> Chart:
    """Draw the value of each trial in order, with the best so far.

    Pruned trials stand at the last value they reported, failed ones on the lower edge. Values far
    on the bad side are drawn at the edge, so that they do not press the others together.

    Args:
        view: From `read_study`.
        objective: Which one, where there are several.

    Raises:
        NotDrawableError: No trial finished.
    """
    goal, trials = view.objectives[objective], view.trials
    values = finished_values(view, objective)
    # Reports of pruned trials are of the one objective there is when there is pruning.
    pruned = trials[(trials["state"] == "pruned") & trials["last_value"].notna()]
    pruned = pruned if len(view.objectives) == 1 else pruned.iloc[:0]
    limits = value_limits([*values, *pruned["last_value"]], goal)
    done = view.finished(objective).sort_values("number")
    layers: list[Dots | Curve] = []
    for state, label, rows, column in (
        ("pruned", "pruned (last report)", pruned, "last_value"),
        ("finished", "finished", done, goal.metric),
    ):
        layers += outside(_dots(rows["number"], rows[column], state, label), limits)
    for state in ("failed", "running"):
        numbers = trials.loc[trials["state"] == state, "number"]
        layers.append(_dots(numbers, np.full(len(numbers), limits[0]), state, state))
    best = np.maximum.accumulate(goal.sign * done[goal.metric].to_numpy(float)) * goal.sign
    last = int(trials["number"].max())
    layers.append(
        Curve([*done["number"], last], [*best, best[-1]], step="post", label="best so far")
    )
    first = best_trials(view, 1, objective).iloc[0]
    winner, value = int(first["number"]), float(first[goal.metric])
    star = f"best: trial {winner}, {value:.4g}"
    layers.append(Dots([winner], [value], BEST, [winner], star, "*", 12, above=5))
    end = max(last, (view.budget or 1) - 1)
    x = Axis("trial", (-0.02 * end - 0.6, 1.02 * end + 0.6), whole=True)
    panel = Panel(x, Axis(metric_label(goal), limits), layers)
    return Chart(heading(view, "every trial"), [panel], (7.5, 3.9), legend=6)


def _dots(numbers: pd.Series, y: pd.Series | np.ndarray, state: str, label: str) -> Dots:
    return Dots(numbers, y, COLOURS[state], numbers, label, MARKERS[state], above=3)


def _reported(view: StudyView) -> list[tuple[FrozenTrial, str]]:
    """Return the trials that reported values on their way, each with its state; the best comes last."""
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


@study_figure(
    "intermediate",
    "On the way",
    "Curves that cross late were judged by a pruner too early.",
    of="one",
)
def intermediate_figure(view: StudyView) -> Chart:
    """Draw what each trial reported on its way: finished, pruned, failed ones, and the best.

    Raises:
        NotDrawableError: There are several objectives, or no trial reported two values.
    """
    curves = _reported(view)
    goal, winner = view.objectives[0], best_number(view, 0)
    alpha = 0.75 if len(curves) <= _MANY_CURVES else 0.4
    layers: list[Dots | Curve] = []
    for trial, state in curves:
        steps, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        best, marked = trial.number == winner, state in ("pruned", "failed")
        colour, label = (BEST, f"best: trial {winner}") if best else (COLOURS[state], state)
        width, shade = (2.0, 1.0) if best else (1.0, alpha)
        above, told = 5 if best else 2 if state == "pruned" else 3, "" if marked else label
        line = Curve(steps, values, colour, told, width, shade, number=trial.number, above=above)
        layers.append(line)
        if marked or len(steps) == 1:
            ends, shape = (steps[-1:], values[-1:]), MARKERS[state]
            layers.append(Dots(*ends, colour, [trial.number], state, shape, above=4))
    every = [value for trial, _ in curves for value in trial.intermediate_values.values()]
    y = Axis(metric_label(goal), value_limits(every, goal))
    panel = Panel(Axis(_step_name(view), whole=True), y, layers)
    return Chart(heading(view, "on the way"), [panel], (7.5, 4.2), legend=5)


def _step_name(view: StudyView) -> str:
    """Return what a step of a trial is: a fold where trials are cross-validations, else an epoch."""
    cv = (view.asked.get("base_config") or {}).get("cv") or {}
    return "epoch" if cv.get("scheme", "none") == "none" else "fold"


@study_figure(
    "pareto",
    "Pareto front",
    "No trial is better in one objective than a trial of the front without being worse in another.",
    of="several",
)
def pareto_figure(view: StudyView) -> Chart:
    """Draw the finished trials of several objectives against each other, the Pareto front marked.

    With three objectives each pair has a panel; the front is that of all objectives together.

    Raises:
        NotDrawableError: There is one objective only, or no trial finished.
    """
    if len(view.objectives) < 2:
        raise NotDrawableError("a Pareto front needs at least two objectives")
    finished_values(view, 0)
    pairs = list(combinations(view.objectives, 2))[:_MAX_PANELS]
    panels = [_front(view, *pair) for pair in pairs]
    size = (5.6 if len(pairs) == 1 else 4.0 * len(pairs), 4.4)
    return Chart(heading(view, "Pareto front"), panels, size, len(pairs), legend=3)


def _front(view: StudyView, first: StudyObjective, second: StudyObjective) -> Panel:
    across, up = first.metric, second.metric
    done, front = view.finished(), pareto_trials(view).sort_values(across)
    others = done[~done["number"].isin(front["number"])]
    numbers, grey = (others["number"], front["number"]), COLOURS["pruned"]
    layers: list[Dots | Curve] = [
        Dots(others[across], others[up], grey, numbers[0], "other finished trials", size=4)
    ]
    if len(view.objectives) == 2:
        # Along x, towards worse x, the level of y is that of the better neighbour.
        step = "pre" if first.maximises else "post"
        layers.append(Curve(front[across], front[up], BLUE, width=1.2, alpha=0.7, step=step))
    every = max(1, -(-len(front) // _MAX_NAMES))
    names = [
        str(number) if place % every == 0 or place == len(front) - 1 else ""
        for place, number in enumerate(front["number"])
    ]
    label = f"Pareto front ({len(front)} trials)"
    layers.append(
        Dots(front[across], front[up], BLUE, numbers[1], label, size=6, above=4, names=names)
    )
    return Panel(Axis(metric_label(first)), Axis(metric_label(second)), layers)
