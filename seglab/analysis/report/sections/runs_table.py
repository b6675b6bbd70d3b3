"""The table of all runs: scores with intervals, classes, cost, and the settings in which they differ."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

from seglab.analysis.report.cells import (
    Cell,
    Column,
    Field,
    Table,
    band,
    interval_text,
    make_table,
    mark_best,
    number_cell,
    scale_bands,
    text_cell,
)
from seglab.analysis.report.model import RunView
from seglab.analysis.settings import is_setting
from seglab.core.sample_size import TOO_FEW_IMAGES, TOO_FEW_REPEATS
from seglab.metrics.names import COST, IOU, MIOU, metric_key, shown_scores
from seglab.runs.record_text import flatten

_SPLIT_ORDER = {"val": 0, "test": 1, "train": 2}
_INTERVAL_NOTE = (
    "95 % interval in brackets: over images for a run, over folds for a cross-validation"
)
_MAX_SETTINGS = 24
# Keys of `cv` that say how folds are trained, not how they are cut.
_NOT_OF_THE_CUT = ("fold", "workers", "leak_report")


_Source = Field[RunView]


def runs_table(runs: Sequence[RunView]) -> Table:
    """Return one row per run, the best main score first; columns no run has a value for are left out.

    The best of a column is marked among runs of the same data, split and kind: a fold is compared
    with the same fold only, a cross-validation with others of its like.
    """
    sources: list[_Source] = [
        (Column("run", numeric=False), _name_cell),
        *_scores(runs),
        (Column("status", numeric=False), _status),
        *_more(runs),
        *_classes(runs),
        *_settings(runs),
        *_cost(),
        *_facts(),
    ]
    ordered = sorted(runs, key=_order)
    table = make_table("runs-table", "All runs of this report", sources, ordered, keep=1)
    columns, bands = table.columns, scale_bands(table.rows)
    marked = mark_best(columns, bands, lambda index: comparable(ordered[index]))
    first_score = next((place for place, column in enumerate(columns) if column.better), None)
    return replace(table, rows=marked, sorted_by=first_score)


def comparable(run: RunView) -> Hashable:
    """Return what two runs must share for their scores to be compared."""
    kind = run.kind if run.kind in ("fold", "cv") else "one"
    # Cross-validations share folds only where they were cut alike.
    folds = run.facts["config"].get("cv") if kind == "cv" else None
    cut = {key: value for key, value in (folds or {}).items() if key not in _NOT_OF_THE_CUT}
    part = run.facts["fold"] if kind == "fold" else str(sorted(cut.items()))
    return run.fingerprint, run.class_names, kind, part


def _order(run: RunView) -> tuple[float, str]:
    score = run.metric(metric_key(run.split, MIOU))
    return (-score if math.isfinite(score) else math.inf, run.label)


def _name_cell(run: RunView) -> Cell:
    # The time in front of an id says little here; the whole id stands with the run's own part.
    end = str(run.facts["run_id"]).rsplit("-", 1)[-1]
    return text_cell(run.label, sub=f"{run.kind} · {end}", link=run.key)


def splits_of(runs: Sequence[RunView]) -> list[str]:
    """Return the splits with a mIoU, validation first."""
    found = {
        key.split("/")[0]
        for run in runs
        for key in run.metrics
        if key.count("/") == 1 and key.endswith(f"/{MIOU}")
    }
    return sorted(found, key=lambda split: (_SPLIT_ORDER.get(split, 9), split))


def score_cell(run: RunView, split: str, metric: str) -> Cell:
    """Return a score with its standard deviation over folds and its interval, where they are."""
    key = metric_key(split, metric)
    value, std = run.metric(key), run.metric(f"{key}_std")
    low, high = run.interval(split, metric)
    few = TOO_FEW_REPEATS if run.kind == "cv" else TOO_FEW_IMAGES
    parts = [f"± {std:.3f}" if math.isfinite(std) else "", interval_text(low, high, few)]
    return number_cell(
        value, sub=" ".join(part for part in parts if part), band=band(low, value, high)
    )


def _scores(runs: Sequence[RunView]) -> list[_Source]:
    return [
        (
            Column(f"{split} {one.title}", note=_INTERVAL_NOTE, better=one.better),
            lambda run, split=split, name=one.name: score_cell(run, split, name),  # type: ignore[misc]
        )
        for split in splits_of(runs)
        for one in shown_scores("always")
    ]


def _more(runs: Sequence[RunView]) -> list[_Source]:
    return [
        _metric(
            metric_key(split, one.name),
            Column(f"{split} {one.title}", "more", True, _capitalised(one.sentence), one.better),
            one.digits,
        )
        for split in splits_of(runs)
        for one in shown_scores("boundary", "corruptions", "confidence")
    ]


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _classes(runs: Sequence[RunView]) -> list[_Source]:
    # Of the main split only: a second block of classes would bury the first.
    names = list(dict.fromkeys(name for run in runs for name in run.class_names))
    return [
        (
            Column(f"IoU {name}", "iou", note="Of the main split of each run", better="high"),
            lambda run, name=name: _class_cell(run, name),  # type: ignore[misc]
        )
        for name in names
    ]


def _class_cell(run: RunView, name: str) -> Cell:
    value, std = (run.metric(metric_key(run.split, f"{IOU}{end}", name)) for end in ("", "_std"))
    low, high = run.interval(run.split, IOU, name) if math.isfinite(value) else (None, None)
    spread = f"± {std:.3f}" if math.isfinite(std) else ""
    return number_cell(value, sub=f"{spread} {interval_text(low, high)}".strip())


def _cost() -> list[_Source]:
    hours = Column("hours", "cost", note="Wall time of the run")
    return [
        *(
            _metric(
                metric_key(COST, one.name), Column(one.title, "cost", better=one.better), one.digits
            )
            for one in shown_scores("cost")
        ),
        (hours, _hours),
    ]


def _hours(run: RunView) -> Cell:
    seconds = run.facts["wall_time_s"]
    known = isinstance(seconds, int | float) and seconds > 0
    return number_cell(seconds / 3600 if known else None, 2)


def _facts() -> list[_Source]:
    return [
        _metric("best_epoch", Column("best epoch", "facts"), 0),
        (Column("seed", "facts"), lambda run: text_cell(run.facts["seed"])),
    ]


def _status(run: RunView) -> Cell:
    return text_cell(run.status, css=f"status {run.status}")


def _metric(key: str, column: Column, digits: int) -> _Source:
    def cell(run: RunView) -> Cell:
        missed = run.metric(f"{key}_missed")
        return number_cell(
            run.metric(key), digits, sub=f"{missed:.0f} missed" if missed > 0 else ""
        )

    return column, cell


def _settings(runs: Sequence[RunView]) -> list[_Source]:
    return [
        (
            Column(key, "settings", numeric=False, note=key),
            lambda run, key=key: _setting(run, key),  # type: ignore[misc]
        )
        for key in differing_settings(runs)[:_MAX_SETTINGS]
    ]


def _setting(run: RunView, key: str) -> Cell:
    value = _flat(run).get(key)
    cell = text_cell(value, css="setting")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return replace(cell, value=float(value))
    return cell


def differing_settings(runs: Sequence[RunView]) -> list[str]:
    """Return the keys of the configuration in which trained runs differ, such as `optimizer.lr`.

    Where files are and how a run is called is left out.
    """
    configs = [_flat(run) for run in runs if run.kind in ("train", "trial", "cv")]
    keys = dict.fromkeys(key for config in configs for key in config)
    return [
        key
        for key in keys
        if is_setting(key) and len({repr(config.get(key)) for config in configs}) > 1
    ]


def _flat(run: RunView) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    flatten("config", run.facts["config"], settings)
    return {key.removeprefix("config."): value for key, value in settings.items()}
