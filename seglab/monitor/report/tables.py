"""The tables of a period: bundles, alarms of drift, statistics, classes, alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglab.analysis.report.cells import (
    Cell,
    Column,
    Field,
    Table,
    interval_text,
    make_table,
    number_cell,
    text_cell,
)
from seglab.core.text.wording import joined
from seglab.monitor.alerts.book import Alert
from seglab.monitor.quality.estimate import Estimate
from seglab.monitor.report.charts import moment
from seglab.monitor.report.period import Period
from seglab.monitor.report.watched import Drift, Watched

MOST_DRIFTS, _NAMED = 50, 4


def bundle_table(period: Period, names: Mapping[str, str]) -> Table:
    """Return one row for each bundle that answered."""
    rows = sorted(period.bundles.items(), key=lambda one: one[1][0])
    fields: list[Field[Any]] = [
        (Column("bundle", numeric=False), lambda one: text_cell(one[0], sub=names.get(one[0], ""))),
        (Column("first answer", numeric=False), lambda one: Cell(moment(one[1][0]), one[1][0])),
        (Column("last answer", numeric=False), lambda one: Cell(moment(one[1][1]), one[1][1])),
        (Column("images"), lambda one: number_cell(one[1][2])),
    ]
    return make_table("bundles", "Bundles that answered", fields, rows)


def status_table(period: Period) -> Table | None:
    """Return how often each status came; None where all was well."""
    if len(period.statuses) < 2:
        return None
    rows = sorted(period.statuses.items(), key=lambda one: -one[1])
    fields: list[Field[Any]] = [
        (Column("status", numeric=False), lambda one: text_cell(one[0])),
        (Column("images"), lambda one: number_cell(one[1])),
        (Column("share"), lambda one: Cell(f"{one[1] / period.rows:.2%}", one[1])),
    ]
    return make_table("statuses", "How requests ended", fields, rows)


def drift_table(watched: Sequence[Watched]) -> Table | None:
    """Return one row for each time of drift, the first ones; None without any."""
    rows = sorted(
        ((one, drift) for one in watched for drift in one.drifts), key=lambda row: row[1].first
    )
    fields: list[Field[tuple[Watched, Drift]]] = [
        (Column("from", numeric=False), lambda row: Cell(moment(row[1].first), row[1].first)),
        (Column("to", numeric=False), lambda row: Cell(moment(row[1].last), row[1].last)),
        (Column("bundle", numeric=False), lambda row: text_cell(row[0].label)),
        (
            Column("at most, over threshold"),
            lambda row: number_cell(float(row[1].scores.max() / row[0].threshold), 2),
        ),
        (Column("what changed", numeric=False), lambda row: text_cell(_what(*row), css="prose")),
    ]
    caption = "Times of drift, by the last image of a window"
    return make_table("drifts", caption, fields, rows[:MOST_DRIFTS]) if rows else None


def statistic_table(one: Watched) -> Table | None:
    """Return how far each statistic went, the farthest first; None without windows."""
    if not one.timelines:
        return None
    scores = np.concatenate([line.scores for line in one.timelines])
    order = np.argsort(-scores.max(0))
    fields: list[Field[int]] = [
        (Column("statistic", numeric=False), lambda place: text_cell(one.statistics[place])),
        (
            Column("largest", note="Distance from the reference; 1 is usual"),
            lambda place: number_cell(float(scores[:, place].max()), 2),
        ),
        (Column("median"), lambda place: number_cell(float(np.median(scores[:, place])), 2)),
        (
            Column("windows above the threshold"),
            lambda place: Cell(
                f"{(share := float((scores[:, place] > one.threshold).mean())):.1%}", share
            ),
        ),
    ]
    caption = f"How far each statistic of {one.label} was from the reference; threshold {one.threshold:.2f}"
    return make_table(f"statistics-{one.bundle.id}", caption, fields, order.tolist())


def class_table(one: Watched) -> Table | None:
    """Return the IoU of each class as estimated and as measured; None without both."""
    if one.estimate is None and one.measured is None:
        return None
    measured = one.measured.measured if one.measured else None
    fields: list[Field[int]] = [
        (Column("class", numeric=False), lambda place: text_cell(one.bundle.class_names[place]))
    ]
    for title, found in (("estimated IoU", one.estimate), ("measured IoU", measured)):
        if found is not None:
            fields.append((Column(title), lambda place, found=found: _iou_cell(found, place)))  # type: ignore[misc]
    places = range(len(one.bundle.class_names))
    caption = f"IoU of each class, {one.label}, with 95 % intervals"
    return make_table(f"classes-{one.bundle.id}", caption, fields, places)


def alert_table(alerts: Sequence[Alert]) -> Table | None:
    """Return the alerts that the watch keeps, and when each began and ended; None without any."""
    fields: list[Field[Alert]] = [
        (Column("from", numeric=False), lambda one: Cell(moment(one.since), one.since)),
        (Column("to", numeric=False), _end_cell),
        (Column("severity", numeric=False), lambda one: text_cell(one.severity)),
        (Column("alert", numeric=False), lambda one: text_cell(f"{one.kind} ({one.subject})")),
        (Column("message", numeric=False), lambda one: text_cell(one.message, css="prose")),
        (Column("what to do", numeric=False), lambda one: text_cell(one.runbook, css="prose")),
    ]
    return make_table("alerts", "Alerts", fields, alerts) if alerts else None


def _end_cell(alert: Alert) -> Cell:
    if alert.over is None:
        return Cell(f"lasts, seen {moment(alert.seen)}", np.inf)
    return Cell(moment(alert.over), alert.over)


def _iou_cell(found: Estimate, place: int) -> Cell:
    low, high = float(found.iou_low[place]), float(found.iou_high[place])
    iou = float(found.iou[place])
    return number_cell(iou, 3, sub=interval_text(low, high, "") if iou == iou else "")


def _what(one: Watched, drift: Drift) -> str:
    order = np.argsort(-drift.scores)
    above = [one.statistics[at] for at in order if drift.scores[at] > one.threshold]
    return joined(above, _NAMED)
