"""Learning curves of a report: one chart a quantity for all runs, and the verdict on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from seglab.analysis.learning.loss_trend import (
    TRAIN_LOSS,
    VAL_LOSS,
    VAL_MIOU,
    VAL_PRESENT,
    best_epoch,
    curve,
    smooth,
)
from seglab.analysis.report.cells import (
    Cell,
    Column,
    Field,
    Table,
    make_table,
    number_cell,
    text_cell,
)
from seglab.analysis.report.model import RunView
from seglab.analysis.report.plots import Chart, Line, legend_of, line_chart, together
from seglab.analysis.report.svg import Axis
from seglab.metrics.names import MIOU, metric_key

# More curves than this in one chart cannot be told apart.
MAX_LINES = 12
_BEST = f"of the highest {VAL_PRESENT}, or {VAL_MIOU} in histories without it"


def drawn_runs(runs: Sequence[RunView], limit: int = MAX_LINES) -> list[RunView]:
    """Return the runs with curves, the best ones where there are too many to draw."""
    with_curves = [run for run in runs if not run.history.empty]
    if len(with_curves) <= limit:
        return with_curves

    def key(run: RunView) -> float:
        score = run.metric(metric_key(run.split, MIOU))
        return score if math.isfinite(score) else -1.0

    best = sorted(with_curves, key=key, reverse=True)[:limit]
    return [run for run in with_curves if run in best]


def run_charts(runs: Sequence[RunView], slots: Mapping[str, int]) -> list[Chart]:
    """Return the charts of runs: for a single one, training and validation share a chart."""
    if len(runs) == 1:
        return _charts_of_one(runs[0].history)
    histories = {run.label: run.history for run in runs}
    numbers = {run.label: slots[run.key] for run in runs}
    return [
        score_chart(histories, numbers),
        _losses(histories, numbers, VAL_LOSS, "Validation loss"),
        _losses(histories, numbers, TRAIN_LOSS, "Training loss"),
    ]


def score_chart(histories: Mapping[str, pd.DataFrame], slots: Mapping[str, int]) -> Chart:
    """Return validation mIoU by epoch, one line a history, its best epoch marked."""
    lines = [
        _line(label, history, VAL_MIOU, slots[label], best=True)
        for label, history in histories.items()
    ]
    message = "; ".join(f"{line.label} reaches {line.y.max():.3f}" for line in lines if len(line.x))
    words = f"Validation mIoU by epoch: {message or 'not recorded'}"
    svg = line_chart(lines, words, "epoch", "mIoU", y=_from_zero(lines))
    return Chart("Validation mIoU", svg, legend_of(lines), f"The dot is the best epoch: {_BEST}.")


def _losses(
    histories: Mapping[str, pd.DataFrame], slots: Mapping[str, int], column: str, title: str
) -> Chart:
    lines = [_line(label, history, column, slots[label]) for label, history in histories.items()]
    return _loss_chart(title, lines)


def _loss_chart(title: str, lines: Sequence[Line]) -> Chart:
    svg = line_chart(lines, _ends(title, lines), "epoch", "loss", y=_typical(lines))
    return Chart(title, svg, legend_of(lines))


def _charts_of_one(history: pd.DataFrame) -> list[Chart]:
    losses = [_line("training", history, TRAIN_LOSS, 0), _line("validation", history, VAL_LOSS, 9)]
    scores = [
        _line("mIoU", history, VAL_MIOU, 1, best=True),
        _line("Dice", history, "val/dice", 10),
    ]
    rates = [
        _line(str(name).removeprefix("lr/"), history, str(name), 2 + 9 * number)
        for number, name in enumerate(
            name for name in history if str(name) == "lr" or str(name).startswith("lr/")
        )
    ]
    svg = line_chart(
        scores, _ends("Validation scores", scores), "epoch", "score", y=_from_zero(scores)
    )
    charts = [
        Chart("Validation scores", svg, legend_of(scores), f"The dot is the best epoch: {_BEST}."),
        _loss_chart("Losses", losses),
    ]
    rates = [Line(r.label, r.x[r.y > 0], r.y[r.y > 0], r.slot) for r in rates]
    positive = together(line.y for line in rates)
    if positive.size:
        words, y = _ends("Learning rates", rates), Axis.logarithmic(positive)
        svg = line_chart(rates, words, "epoch", "learning rate", y=y)
        charts.append(Chart("Learning rate", svg, legend_of(rates)))
    return charts


def _line(label: str, history: pd.DataFrame, column: str, slot: int, best: bool = False) -> Line:
    x, y = curve(history, column)
    place = np.flatnonzero(x == best_epoch(history))
    return Line(label, x, y, slot, int(place[0]) if best and len(place) else None)


def _ends(title: str, lines: Sequence[Line]) -> str:
    message = "; ".join(f"{line.label} ends at {line.y[-1]:.3g}" for line in lines if len(line.x))
    return f"{title} by epoch: {message or 'not recorded'}"


def _from_zero(lines: Sequence[Line]) -> Axis:
    return Axis.around(together(line.y for line in lines), floor=0.0)


def _typical(lines: Sequence[Line]) -> Axis:
    """Return an axis that a single exploding epoch does not flatten the rest of."""
    values = together(line.y for line in lines)
    if values.size > 10:
        usual = float(np.percentile(values, 95))
        values = values[values <= max(usual * 2.0, usual + 1e-6)]
    return Axis.around(values, floor=0.0 if values.size and values.min() >= 0 else None)


def verdict_table(runs: Sequence[RunView]) -> Table:
    """Return the verdict on each run's fit and the numbers of its curves, one row per run."""
    fields: list[Field[RunView]] = [
        (Column("run", numeric=False), lambda run: text_cell(run.label, link=run.key)),
        (Column("epochs"), lambda run: number_cell(len(run.history))),
        (Column("best epoch", note=_BEST), lambda run: number_cell(best_epoch(run.history))),
        (Column("val mIoU there"), _score_at_best),
        (Column("train loss"), lambda run: _last(run, TRAIN_LOSS)),
        (Column("val loss"), lambda run: _last(run, VAL_LOSS)),
        (
            Column("verdict", numeric=False),
            lambda run: text_cell(run.verdict and run.verdict.kind, css="word"),
        ),
        (
            Column("in words", numeric=False),
            lambda run: text_cell(run.verdict and run.verdict.sentence, css="prose"),
        ),
    ]
    return make_table("verdicts", "Underfit, fine or overfit", fields, runs)


def _score_at_best(run: RunView) -> Cell:
    epochs, scores = curve(run.history, VAL_MIOU)
    at_best = scores[epochs == best_epoch(run.history)]
    return number_cell(float(at_best[0]) if len(at_best) else None)


def _last(run: RunView, column: str) -> Cell:
    values = curve(run.history, column)[1]
    return number_cell(float(smooth(values)[-1]) if len(values) else None)
