"""Cross-validations of a report: folds, spread of each class, curves of the folds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seglab.analysis.report.cells import (
    Cell,
    Column,
    Field,
    Table,
    as_number,
    make_table,
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
    fields: list[Field[Mapping[Hashable, Any]]] = [
        (Column("fold", numeric=False), lambda row: text_cell(_fold_name(row))),
        *(_number_field(score.name, Column(score.title)) for score in shown_scores("always")),
        (Column("images"), lambda row: whole_cell(row.get("images"))),
        *(
            _number_field(column, Column(f"IoU {name}", "iou"))
            for column, name in _class_columns(scores).items()
        ),
        (Column("status", numeric=False), _status_cell),
    ]
    return make_table(key, "Scores by fold", fields, scores.to_dict(orient="records"))


def _number_field(name: str, column: Column) -> Field[Mapping[Hashable, Any]]:
    return column, lambda row: number_cell(as_number(row.get(name)))


def _status_cell(row: Mapping[Hashable, Any]) -> Cell:
    status = str(row.get("status", "-"))
    return text_cell(status, css=f"status {status}")


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
