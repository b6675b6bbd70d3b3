"""What evaluations measured beyond one score: slices, corruptions, calibration, rejection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seglab.analysis.report.cells import (
    Better,
    Cell,
    Column,
    Field,
    Table,
    as_number,
    band,
    interval_text,
    make_table,
    mark_best,
    number_cell,
    scale_bands,
    text_cell,
    whole_cell,
)
from seglab.analysis.report.model import RunView
from seglab.analysis.report.plots import Bins, Line, line_chart, reliability_chart, together
from seglab.analysis.report.sections.curves import Chart, legend_of
from seglab.analysis.report.svg import Axis
from seglab.core.sample_size import MIN_UNITS, TOO_FEW_IMAGES
from seglab.metrics.names import metric_key

_CLEAN = "none"
# Score, digits, heading and what it says; less is better but for the temperature.
_CALIBRATION = (
    ("ece", 4, "ECE", "Expected calibration error"),
    ("ece_classwise", 4, "ECE by class", "Mean of the calibration errors of single classes"),
    ("ece_calibrated", 4, "ECE calibrated", "After the logits are divided by the temperature"),
    ("temperature", 2, "temperature", "What the logits are divided by to calibrate them; 1: as is"),
    ("aurc", 4, "AURC", "Area under the risk-coverage curve"),
)
# One grid for all runs, so that the reader's pointer meets them at the same coverage.
_COVERAGES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Block:
    """Charts, and a table below them; the table may be missing."""

    charts: tuple[Chart, ...]
    table: Table | None
    by_class: Table | None = None


def having(runs: Sequence[RunView], table: str) -> list[RunView]:
    """Return the runs that have a table, not an empty one."""
    return [run for run in runs if table in run.tables and not run.tables[table].empty]


def slices_table(runs: Sequence[RunView]) -> Table:
    """Return one row a slice: for one run with all its scores, for several one mIoU column a run.

    Args:
        runs: Scored on the same data.
    """
    if len(runs) == 1:
        return slices_of_one(runs[0])
    by_run = [_by_slice(run.tables["slices"]) for run in runs]
    keys = list(dict.fromkeys(key for found in by_run for key in found))
    columns = (
        Column("slice", numeric=False),
        Column("images"),
        *(Column(f"{run.label} mIoU", better="high") for run in runs),
    )
    rows = []
    for key in keys:
        first = next(found[key] for found in by_run if key in found)
        scores = [_score(found[key]) if key in found else number_cell(None) for found in by_run]
        rows.append((text_cell(key[1], sub=key[0]), whole_cell(first.get("images")), *scores))
    # Within a row, not a column, lies what can be compared: the same images, other runs.
    marked = tuple(_mark_row(row, 2) for row in scale_bands(rows))
    return Table(f"slices-of-{runs[0].key}", "mIoU by slice and run", columns, marked)


def _mark_row(row: tuple[Cell, ...], first: int, better: Better = "high") -> tuple[Cell, ...]:
    marked = mark_best((Column("", better=better),), [(cell,) for cell in row[first:]])
    return (*row[:first], *(cells[0] for cells in marked))


def _by_slice(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, object]]:
    return {
        (str(row["slice_kind"]), str(row["slice"])): {str(k): v for k, v in row.items()}
        for row in frame.to_dict(orient="records")
    }


def slices_of_one(run: RunView) -> Table:
    """Return one row a slice with all its scores, those of single classes among them."""
    fields: list[Field[tuple[tuple[str, str], dict[str, object]]]] = [
        (Column("slice", numeric=False), lambda pair: text_cell(pair[0][1], sub=pair[0][0])),
        (Column("images"), lambda pair: whole_cell(pair[1].get("images"))),
        (Column("mIoU"), lambda pair: _score(pair[1])),
        (Column("Dice"), lambda pair: number_cell(as_number(pair[1].get("dice")))),
        (
            Column("classes", note="Over how many classes the mean runs"),
            lambda pair: whole_cell(pair[1].get("num_classes_averaged")),
        ),
        *(_class_field(name, place) for place, name in enumerate(run.class_names)),
    ]
    slices = _by_slice(run.tables["slices"]).items()
    table = make_table(f"slices-{run.key}", f"Scores by slice, {run.label}", fields, slices)
    return replace(table, rows=scale_bands(table.rows))


def _class_field(name: str, place: int) -> Field[tuple[tuple[str, str], dict[str, object]]]:
    def cell(pair: tuple[tuple[str, str], dict[str, object]]) -> Cell:
        iou = pair[1].get("iou")
        known = isinstance(iou, list | tuple | np.ndarray) and place < len(iou)
        return number_cell(as_number(iou[place]) if known else math.nan)  # type: ignore[index]

    return Column(f"IoU {name}", "iou"), cell


def _score(row: Mapping[str, object]) -> Cell:
    value = as_number(row.get("miou"))
    low, high = (as_number(row.get(name)) for name in ("miou_low", "miou_high"))
    if as_number(row.get("images")) < MIN_UNITS:
        return number_cell(value, sub=TOO_FEW_IMAGES)
    return number_cell(value, sub=interval_text(low, high, too_few=""), band=band(low, value, high))


def corruption_block(runs: Sequence[RunView], slots: Mapping[str, int]) -> Block:
    """Return one chart a corruption, mIoU by severity, and a table of all."""
    names = list(
        dict.fromkeys(
            str(name)
            for run in runs
            for name in run.tables["corruptions"]["corruption"]
            if str(name) != _CLEAN
        )
    )
    tops = [run.tables["corruptions"]["miou"].max() for run in runs]
    y = Axis.around([float(top) for top in tops], floor=0.0)
    levels = sorted({int(level) for run in runs for level in run.tables["corruptions"]["severity"]})
    x = Axis.around(levels, whole=True)
    charts = tuple(_corruption_chart(runs, name, slots, x, y) for name in names)
    columns = (
        Column("corruption", numeric=False),
        Column("run", numeric=False),
        *(Column("clean" if level == 0 else f"severity {level}") for level in levels),
        Column(
            "mean share of clean", note="mIoU under this corruption as a share of the clean mIoU"
        ),
    )
    rows = [_corruption_row(run, name, levels) for name in names for run in runs]
    return Block(
        charts, Table(f"corruptions-{runs[0].key}", "mIoU by severity", columns, tuple(rows))
    )


def _levels(run: RunView, name: str) -> dict[int, float]:
    frame = run.tables["corruptions"]
    chosen = frame[frame["corruption"].astype(str).isin([name, _CLEAN])]
    return {
        int(severity): float(score)
        for severity, score in zip(chosen["severity"], chosen["miou"], strict=True)
    }


def _corruption_chart(
    runs: Sequence[RunView], name: str, slots: Mapping[str, int], x: Axis, y: Axis
) -> Chart:
    lines = []
    for run in runs:
        points = sorted(_levels(run, name).items())
        across = np.array([level for level, score in points if math.isfinite(score)], float)
        up = np.array([score for _, score in points if math.isfinite(score)])
        lines.append(Line(run.label, across, up, slots[run.key]))
    message = "; ".join(f"{line.label} falls to {line.y[-1]:.3f}" for line in lines if len(line.x))
    svg = line_chart(
        lines, f"mIoU under {name} by severity: {message}", "severity", "mIoU", x=x, y=y
    )
    return Chart(name.replace("_", " "), svg, legend_of(lines))


def _corruption_row(run: RunView, name: str, levels: Sequence[int]) -> tuple[Cell, ...]:
    scores = _levels(run, name)
    clean = scores.get(0, math.nan)
    cells = []
    for level in levels:
        score = scores.get(level, math.nan)
        share = score / clean if clean else math.nan
        heat = round(100 * max(0.0, 1 - share), 1) if math.isfinite(share) else None
        cells.append(number_cell(score, heat=heat, css="loss deep" if (heat or 0) > 75 else "loss"))
    kept = [scores[level] / clean for level in scores if level > 0 and clean]
    mean = float(np.mean(kept)) if kept else math.nan
    return text_cell(name.replace("_", " ")), text_cell(run.label), *cells, number_cell(mean)


def calibration_block(runs: Sequence[RunView], slots: Mapping[str, int]) -> Block:
    """Return reliability of each run, risk-coverage of all, and the numbers behind them."""
    charts = [_reliability(run, slots[run.key]) for run in having(runs, "reliability")]
    rejecting = having(runs, "risk_coverage")
    if rejecting:
        charts.append(_risk_coverage(rejecting, slots))
    fields: list[Field[RunView]] = [
        (Column("run", numeric=False), lambda run: text_cell(run.label, link=run.key)),
        *(_calibration_field(*one) for one in _CALIBRATION),
    ]
    table = make_table(f"calibration-{runs[0].key}", "Calibration in numbers", fields, runs)
    numbers = any(cell.value is not None for row in table.rows for cell in row[1:])
    table = replace(table, rows=mark_best(table.columns, table.rows))
    return Block(tuple(charts), table if numbers else None, _gaps_by_class(runs))


def _calibration_field(name: str, digits: int, title: str, note: str) -> Field[RunView]:
    column = Column(title, note=note, better="" if name == "temperature" else "low")
    return column, lambda run: number_cell(run.metric(metric_key(run.split, name)), digits)


def _gaps_by_class(runs: Sequence[RunView]) -> Table | None:
    """Return the mean distance between confidence and accuracy by class, one column per run."""
    with_bins = having(runs, "reliability")
    gaps = [_gaps(run.tables["reliability"]) for run in with_bins]
    names = [
        name for name in dict.fromkeys(name for found in gaps for name in found) if name != "all"
    ]
    if not names:
        return None
    columns = (
        Column("class", numeric=False),
        *(Column(run.label, better="low") for run in with_bins),
    )
    rows = [
        _mark_row((text_cell(name), *(number_cell(found.get(name), 4) for found in gaps)), 1, "low")
        for name in names
    ]
    return Table(f"gaps-{with_bins[0].key}", "Calibration error by class", columns, tuple(rows))


def _gaps(frame: pd.DataFrame) -> dict[str, float]:
    """Return the distance of each class, its bins weighed by their pixels; NaN without pixels."""
    used = frame[frame["count"] > 0]
    distance = (used["confidence"] - used["accuracy"]).abs() * used["count"]
    names = used["class_name"].astype(str)
    totals = used["count"].groupby(names, sort=False).sum()
    shares = distance.groupby(names, sort=False).sum() / totals
    return {str(name): float(share) for name, share in shares.items()}


def _reliability(run: RunView, slot: int) -> Chart:
    frame = run.tables["reliability"]
    whole = frame[frame["class_name"].astype(str) == "all"].sort_values("bin")
    names = ("low", "high", "count", "confidence", "accuracy")
    bins = Bins(*(whole[name].to_numpy(float) for name in names))
    ece = run.metric(metric_key(run.split, "ece"))
    message = f"; expected calibration error {ece:.4f}" if math.isfinite(ece) else ""
    svg = reliability_chart(bins, f"Reliability of {run.label}{message}", slot)
    shown = f"ECE {ece:.4f}. " if math.isfinite(ece) else ""
    note = f"{shown}Below the diagonal: more sure than right. Bars: share of pixels."
    return Chart(f"Reliability, {run.label}", svg, note=note)


def _risk_coverage(runs: Sequence[RunView], slots: Mapping[str, int]) -> Chart:
    lines = []
    for run in runs:
        frame = run.tables["risk_coverage"][["coverage", "risk"]].dropna().sort_values("coverage")
        if frame.empty:
            continue
        coverage, risk = frame["coverage"].to_numpy(float), frame["risk"].to_numpy(float)
        first, last = np.searchsorted(_COVERAGES, [coverage[0] - 1e-9, coverage[-1] + 1e-9])
        across = _COVERAGES[first:last]
        lines.append(Line(run.label, across, np.interp(across, coverage, risk), slots[run.key]))
    message = "; ".join(
        f"{line.label} {line.y[-1]:.3f} with all pixels" for line in lines if len(line.x)
    )
    svg = line_chart(
        lines,
        f"Risk by coverage: {message}",
        "coverage",
        "share of wrong pixels",
        x=Axis.around([], floor=0.0, ceiling=1.0),
        y=Axis.around(together(line.y for line in lines), floor=0.0),
    )
    note = "How many of the kept pixels are wrong when the least sure ones are set aside."
    return Chart("Risk and coverage", svg, legend_of(lines), note)
