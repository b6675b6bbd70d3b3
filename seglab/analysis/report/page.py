"""From the values of a page to one HTML file that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seglab.analysis.evaluation.class_scores import class_table
from seglab.analysis.report import cells
from seglab.analysis.report.model import Picture, Report, RunView, by_data
from seglab.analysis.report.plots import Spread, spread_chart
from seglab.analysis.report.rendering import GENERATOR, render_template
from seglab.analysis.report.sections import cases, confusion, curves, evaluation, folds
from seglab.analysis.report.sections.runs_table import runs_table, splits_of
from seglab.analysis.report.svg import NUM_SLOTS, series_class
from seglab.analysis.times import format_moment
from seglab.core.disk.files import write_text
from seglab.core.text.wording import joined
from seglab.metrics.names import MIOU, metric_key

_MAX_MATRICES = 12
_WRITTEN_BY_EVALUATE = {
    "slices": "scores by slice",
    "corruptions": "scores under corruption",
    "reliability": "reliability",
    "risk_coverage": "risk and coverage",
}


def write_page(report: Report, path: Path) -> int:
    """Write the page in one step and return its size in bytes."""
    html = render_page(report)
    write_text(path, html)
    return len(html.encode("utf-8"))


def is_report(path: Path) -> bool:
    """Tell whether a file is a page written by this module."""
    with path.open("rb") as stream:
        return f'<meta name="generator" content="{GENERATOR}'.encode() in stream.read(4096)


def render_page(report: Report) -> str:
    """Return the page as HTML."""
    return render_template("report.html.j2", report=report, **page_content(report))


def page_content(report: Report) -> dict[str, Any]:
    """Return the parts of the page by their names in the template; absent parts are None or empty."""
    runs = report.runs
    slots = {run.key: number % NUM_SLOTS for number, run in enumerate(runs)}
    drawn = curves.drawn_runs(runs)
    matrices = [run for run in runs if run.confusions and run.kind != "cv"]
    sliced, corrupted = (evaluation.having(runs, name) for name in ("slices", "corruptions"))
    calibrated = [run for run in runs if {"reliability", "risk_coverage"} & set(run.tables)]
    entries = cases.line_up(runs)
    return {
        "facts": header_facts(report),
        "runs_table": runs_table(runs),
        "intervals": interval_chart(runs, slots),
        "run_charts": curves.run_charts(drawn, slots) if drawn else [],
        "num_with_curves": sum(not run.history.empty for run in runs),
        "num_drawn": len(drawn),
        "verdicts": curves.verdict_table(drawn) if drawn else None,
        "cross_validations": [folds.cross_validation_view(run) for run in runs if run.kind == "cv"],
        "matrices": [_matrices(run) for run in matrices[:_MAX_MATRICES]],
        "num_matrices": len(matrices),
        "slices": [
            (title, evaluation.slices_table(group), group) for title, group in by_data(sliced)
        ],
        "slices_of_one": evaluation.slices_of_one,
        "corruptions": [
            (title, evaluation.corruption_block(group, slots))
            for title, group in by_data(corrupted)
        ],
        "calibration": [
            (title, evaluation.calibration_block(group, slots))
            for title, group in by_data(calibrated)
        ],
        "entries": entries,
        "choices": {
            name: cases.choices(entries, name) for name in ("class_names", "error_types", "reasons")
        },
        "gallery_runs": sum(bool(run.cases) for run in runs),
        "palettes": _palettes(runs),
        "class_tables": {run.key: _class_table(run) for run in runs},
        "absent": absent_sentences(runs),
        "stored": _stored(report),
        "series": {run.key: series_class(slots[run.key]) for run in runs},
    }


def header_facts(report: Report) -> list[tuple[str, str]]:
    """Return name and value of what the whole page is about."""
    runs = report.runs
    kinds = [run.kind for run in runs]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    commits = _distinct(_commit(run) for run in runs)
    versions = _distinct((run.facts["packages"] or {}).get("seglab") for run in runs)
    return [
        ("Runs", counted),
        ("Data", _distinct(run.data_name for run in runs)),
        ("Fingerprint", _distinct(run.fingerprint for run in runs)),
        ("Made with", f"seglab {versions}"),
        ("Commit", commits),
        ("Runs started", _days(runs)),
        ("Page written", f"{format_moment(report.created)}, seglab {report.version}"),
    ]


def _distinct(values: Iterable[object]) -> str:
    return joined(dict.fromkeys(str(value) for value in values if value), 3) or "not recorded"


def _commit(run: RunView) -> str:
    git = run.facts["git"] or {}
    commit = git.get("commit")
    return f"{str(commit)[:10]}{' (changed)' if git.get('dirty') else ''}" if commit else ""


def _days(runs: Sequence[RunView]) -> str:
    days = sorted(str(run.facts["started"])[:10] for run in runs if run.facts["started"])
    if not days:
        return "not recorded"
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def interval_chart(runs: Sequence[RunView], slots: dict[str, int]) -> curves.Chart | None:
    """Return mIoU with interval of two or more runs on one axis, the best first; else None."""
    splits = splits_of(runs)
    rows = []
    for run in runs:
        split = run.split if run.split in splits else (splits[0] if splits else "val")
        key = metric_key(split, MIOU)
        middle, low, high = (run.metric(f"{key}{end}") for end in ("", "_low", "_high"))
        if math.isfinite(middle):
            rows.append(Spread(run.label, middle, low, high, slot=slots[run.key]))
    if len(rows) < 2:
        return None
    rows = sorted(rows, key=lambda row: -row.middle)[: curves.MAX_LINES]
    message = "; ".join(f"{row.label} {row.middle:.3f}" for row in rows)
    svg = spread_chart(rows, f"mIoU of each run: {message}", "mIoU")
    note = "Main split of each run. No bar: too few images to tell, or none was recorded."
    return curves.Chart("mIoU and its 95 % interval", svg, note=note)


def _matrices(run: RunView) -> list[confusion.ConfusionView]:
    return [
        confusion.confusion_view(
            f"confusion-{run.key}-{number}", f"{run.label}, {split}", matrix, run.class_names
        )
        for number, (split, matrix) in enumerate(run.confusions.items())
    ]


def _class_table(run: RunView) -> cells.Table | None:
    if not run.confusions or run.kind == "cv":
        return None
    rows = class_table(run.confusions, run.class_names)
    names = list(rows[0])
    columns = tuple(cells.Column(name, numeric=name != "class") for name in names)
    shown = tuple(
        tuple(
            cells.text_cell(row[name])
            if isinstance(row[name], str)
            else cells.number_cell(row[name])  # type: ignore[arg-type]
            for name in names
        )
        for row in rows
    )
    return cells.Table(f"classes-{run.key}", f"Scores by class, {run.label}", columns, shown)


def _stored(report: Report) -> list[Picture]:
    """Return the pictures of the galleries, which the page holds once and shows several times."""
    figures = {run.samples for run in report.runs}
    return [picture for key, picture in report.pictures.items() if key not in figures]


def _palettes(runs: Sequence[RunView]) -> list[list[tuple[str, str]]]:
    """Return class names and colours for the legend of the galleries, once a label space."""
    spaces = dict.fromkeys(
        (run.class_names, run.palette) for run in runs if run.cases and run.palette
    )
    return [
        [(name, "#{:02x}{:02x}{:02x}".format(*colour)) for name, colour in zip(*space, strict=True)]
        for space in spaces
    ]


def absent_sentences(runs: Sequence[RunView]) -> list[str]:
    """Say which files finished runs lack, so that an empty place is no riddle."""
    sentences = []
    trained = [run for run in runs if run.kind in ("train", "fold", "trial")]
    finished = [run for run in runs if run.status == "finished"]
    evaluated = [run for run in finished if run.kind == "eval"]
    lacking = {
        "learning curves (history.csv)": [run for run in trained if run.history.empty],
        "a confusion matrix (confusion.npy)": [run for run in finished if not run.confusions],
        "a failure gallery (gallery.parquet)": [run for run in evaluated if not run.cases],
        **{
            f"{words} ({name}.parquet)": [run for run in evaluated if name not in run.tables]
            for name, words in _WRITTEN_BY_EVALUATE.items()
        },
    }
    for what, without in lacking.items():
        if without:
            names = joined((run.label for run in without), 5)
            sentences.append(f"Without {what}: {names}.")
    if not evaluated:
        sentences.append(
            "No evaluation is among the runs; `seglab evaluate run=RUN` adds slices, corruptions, "
            "calibration and a failure gallery."
        )
    return sentences
