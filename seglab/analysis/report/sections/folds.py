"""Cross-validations of a report: folds, spread of each class, curves of the folds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglab.analysis.report.cells import (
    Column,
    Table,
    as_number,
    number_cell,
    text_cell,
    whole_cell,
)
from seglab.analysis.report.model import RunView
from seglab.analysis.report.plots import Spread, spread_chart
from seglab.analysis.report.sections.confusion import ConfusionView, confusion_view
from seglab.analysis.report.sections.curves import Chart, score_chart
from seglab.analysis.report.svg import Axis
from seglab.analysis.tables import interval_cell
from seglab.core.sample_size import TOO_FEW_REPEATS
from seglab.metrics.names import IOU, metric_key, shown_scores


@dataclass(frozen=True)
class CrossValidationView:
    """What the page shows of one cross-validation."""

    key: str
    label: str
    facts: tuple[tuple[str, str, str], ...]
    table: Table | None
    charts: tuple[Chart, ...]
    confusion: ConfusionView | None


def cross_validation_view(run: RunView) -> CrossValidationView:
    """Return the parts of a run of kind cv; what its files lack is left out."""
    content = run.cross_validation
    scores = content.scores if content else None
    charts = []
    if scores is not None and _class_columns(scores):
        charts.append(_spread_by_class(run, scores))
    if content and content.folds:
        slots = {name: number for number, name in enumerate(content.folds)}
        charts.append(score_chart(content.folds, slots))
    matrix = run.confusions.get(run.split)
    return CrossValidationView(
        key=run.key,
        label=run.label,
        facts=_facts(run, scores),
        table=None if scores is None else fold_table(f"folds-{run.key}", scores),
        charts=tuple(charts),
        confusion=None
        if matrix is None
        else confusion_view(f"oof-{run.key}", "Out of fold", matrix, run.class_names),
    )


def _facts(run: RunView, scores: pd.DataFrame | None) -> tuple[tuple[str, str, str], ...]:
    """Return name, number and remark of what counts most."""
    facts = []
    for score in shown_scores("always"):
        key, title = metric_key(run.split, score.name), score.title
        mean, std, low, high, pooled = (
            run.metric(f"{key}{end}") for end in ("", "_std", "_low", "_high", "_pooled")
        )
        if math.isfinite(mean):
            spread = f" ± {std:.3f}" if math.isfinite(std) else ""
            ends = interval_cell(low, high, too_few=TOO_FEW_REPEATS)
            interval = ends if math.isnan(low) else f"95 % interval {ends}"
            facts.append((f"{title}, mean of folds", f"{mean:.3f}{spread}", interval))
        if math.isfinite(pooled):
            facts.append((f"{title}, pooled out of fold", f"{pooled:.3f}", "one matrix, all folds"))
    if scores is not None:
        done = int((_column(scores, "status") == "finished").sum())
        repeats = scores["repeat"].nunique() if "repeat" in scores else 1
        remark = f"{repeats} repeats" if repeats > 1 else ""
        facts.append(("folds finished", f"{done} of {len(scores)}", remark))
    return tuple(facts)


def fold_table(key: str, scores: pd.DataFrame) -> Table:
    """Return one row per fold. None is marked as the best: each is scored on data of its own."""
    names = _class_columns(scores)
    shown = [score.name for score in shown_scores("always")]
    columns = (
        Column("fold", numeric=False),
        *(Column(score.title) for score in shown_scores("always")),
        Column("images"),
        *(Column(f"IoU {name}", "iou") for name in names.values()),
        Column("status", numeric=False),
    )
    rows = []
    for row in scores.to_dict(orient="records"):
        status = str(row.get("status", "-"))
        rows.append(
            (
                text_cell(_fold_name(row)),
                *(number_cell(as_number(row.get(name))) for name in shown),
                whole_cell(row.get("images")),
                *(number_cell(as_number(row.get(name))) for name in names),
                text_cell(status, css=f"status {status}"),
            )
        )
    return Table(key, "Scores by fold", columns, tuple(rows))


def _fold_name(row: Mapping[Hashable, object]) -> str:
    """Return the name of a fold; one that is a number gets its repeat with it, if known."""
    fold, repeat = row["fold"], as_number(row.get("repeat"))
    if not math.isfinite(as_number(fold)):
        return str(fold)
    return f"r{repeat:.0f}-f{fold}" if math.isfinite(repeat) else f"fold {fold}"


def _class_columns(scores: pd.DataFrame) -> dict[str, str]:
    """Return the columns with the IoU of a class, and the class."""
    return {
        str(column): str(column).removeprefix(start)
        for start in (f"{IOU}/", f"{IOU}_")
        for column in scores
        if str(column).startswith(start)
    }


def _spread_by_class(run: RunView, scores: pd.DataFrame) -> Chart:
    spreads = []
    for column, name in _class_columns(scores).items():
        values = pd.to_numeric(scores[column], errors="coerce").to_numpy(float)
        finite = values[np.isfinite(values)]
        ends = (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
        spreads.append(Spread(name, math.nan, *ends, tuple(finite.tolist())))
    message = "; ".join(
        f"{spread.label} {spread.low:.2f} to {spread.high:.2f}"
        for spread in spreads
        if math.isfinite(spread.low)
    )
    axis = Axis.around([], floor=0.0, ceiling=1.0)
    words = f"IoU of each class over the folds of {run.label}: {message}"
    note = "A dot is a fold, the box holds the middle half, the bar in it is the median."
    return Chart(
        "IoU of each class over the folds",
        spread_chart(spreads, words, "IoU", axis=axis),
        note=note,
    )


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series("finished", index=frame.index)
