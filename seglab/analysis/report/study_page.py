"""A study as one HTML page that needs nothing beside itself: result, trials, figures, what was asked."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seglab import __version__
from seglab.analysis.report.cells import Cell, Column, Table, mark_best, number_cell, text_cell
from seglab.analysis.report.model import Picture
from seglab.analysis.report.page import render_template
from seglab.analysis.report.reading.pictures import Album
from seglab.analysis.study.figures.figure import StudyFigure
from seglab.analysis.study.figures.write import drawings
from seglab.analysis.study.load import PARAM, StudyView, read_study
from seglab.analysis.study.marks import NotDrawableError
from seglab.analysis.study.summary import StudySummary, study_summary
from seglab.analysis.study.text import (
    Protocol,
    asked_sentences,
    happened_sentences,
    param_text,
    result_sentences,
)
from seglab.analysis.style import save_figure
from seglab.analysis.times import format_moment, format_runtime
from seglab.core.disk.files import write_text
from seglab.core.disk.provenance import utc_now
from seglab.core.sample_size import MIN_REPEATS, TOO_FEW_REPEATS
from seglab.runs.study import ERROR, REASON, TRACEBACK

log = logging.getLogger(__name__)

# Longer values may break anywhere, or the table would grow as wide as they are.
_LONG = 28
_STATE_ORDER = {"finished": 0, "pruned": 1, "running": 2, "waiting": 3, "failed": 4}


@dataclass(frozen=True)
class StudyPage:
    """The whole page.

    Attributes:
        title: Heading.
        created: ISO 8601, UTC.
        version: Of the seglab that wrote the page.
        view: The study.
        summary: The study in numbers.
        protocol: What may be claimed of the winner; None before the study was concluded.
        figures: Each with its picture.
        absent: Why other figures are not there, one sentence each.
    """

    title: str
    created: str
    version: str
    view: StudyView
    summary: StudySummary
    protocol: Protocol | None
    figures: tuple[tuple[StudyFigure, Picture], ...]
    absent: tuple[str, ...]


def write_study_page(folder: str | Path, path: Path, title: str = "") -> int:
    """Write the page of a study in one step and return its size in bytes.

    Args:
        folder: The study's folder; nothing in it is changed.
        path: File to write.
        title: Heading; made from the study's name when empty.
    """
    page = collect_study(folder, title)
    html = render_template("study.html.j2", report=page, **page_content(page))
    write_text(path, html)
    return len(html.encode("utf-8"))


def collect_study(folder: str | Path, title: str = "") -> StudyPage:
    """Read a study for a page, and draw its figures.

    Raises:
        RunNotFoundError: There is no study in the folder.
    """
    view = read_study(folder)
    figures, absent = _pictures(view)
    return StudyPage(
        title=title or f"{view.asked.get('experiment') or 'study'}: {view.name}",
        created=utc_now(),
        version=__version__,
        view=view,
        summary=study_summary(view),
        protocol=view.folder.read_protocol(),
        figures=figures,
        absent=absent,
    )


def _pictures(view: StudyView) -> tuple[tuple[tuple[StudyFigure, Picture], ...], tuple[str, ...]]:
    album, keys, absent = Album(), {}, []
    with tempfile.TemporaryDirectory() as place:
        for drawing in drawings(view):
            try:
                path = save_figure(drawing(view), Path(place) / f"{drawing.name}.png")
            except NotDrawableError as reason:
                absent.append(f"{drawing.title}: {reason}.")
                continue
            except Exception as error:
                # The rest of the page is worth having.
                log.warning("%s could not be drawn", drawing.name, exc_info=True)
                absent.append(f"{drawing.title}: could not be drawn ({type(error).__name__}).")
                continue
            keys[album.add(path, "chart")] = drawing
        pictures = album.develop()
    return tuple((drawing, pictures[key]) for key, drawing in keys.items()), tuple(absent)


def page_content(page: StudyPage) -> dict[str, Any]:
    """Return the parts of the page by their names in the template."""
    view, asked = page.view, page.view.asked
    space = asked.get("space") or {}
    base = asked.get("base_config") or {}
    return {
        "facts": header_facts(page),
        "big": big_numbers(page),
        "notes": str(base.get("notes") or "").strip(),
        "result": result_sentences(view, page.summary, page.protocol),
        "happened": happened_sentences(view, page.summary),
        "asked": asked_sentences(view),
        "trials": trials_table(view),
        "records": f"{view.folder.trials_dir.name}/{asked.get('study_id')}-t0000",
        "confirm": confirm_table(page.protocol),
        "space": _words_table(
            "space", "Search space", ("parameter", "values"), list(space.items())
        ),
        "workers": workers_table(page.summary),
        "errors": error_texts(view),
        "config": yaml.safe_dump(base, sort_keys=False, allow_unicode=True) if base else "",
    }


def header_facts(page: StudyPage) -> list[tuple[str, str]]:
    """Return name and value of what the whole page is about."""
    asked, git = page.view.asked, page.view.asked.get("git") or {}
    commit = f"{str(git.get('commit'))[:10]}{' (changed)' if git.get('dirty') else ''}"
    return [
        ("Study", str(asked.get("study_id") or page.view.name)),
        ("Folder", str(page.view.folder.path)),
        ("Begun", format_moment(asked.get("created"))),
        ("Made with", f"seglab {(asked.get('packages') or {}).get('seglab') or 'not recorded'}"),
        ("Commit", commit if git.get("commit") else "not recorded"),
        ("Page written", f"{format_moment(page.created)}, seglab {page.version}"),
    ]


def big_numbers(page: StudyPage) -> list[tuple[str, str, str]]:
    """Return name, value and remark of what one wants to know first."""
    summary, view, protocol = page.summary, page.view, page.protocol or {}
    numbers = []
    if summary.best is not None:
        numbers.append(
            (
                f"best {view.objectives[0].metric}, optimistic",
                f"{summary.best_value:.3f}",
                f"trial {summary.best}",
            )
        )
    elif summary.front:
        numbers.append(("trials on the Pareto front", str(len(summary.front)), ""))
    if isinstance(protocol.get("confirm_mean"), float):
        low, high = protocol.get("confirm_low"), protocol.get("confirm_high")
        known = isinstance(low, float) and isinstance(high, float)
        told = known and len(protocol.get("confirm") or []) >= MIN_REPEATS
        ends = f"95 %: {low:.3f} to {high:.3f}" if told else TOO_FEW_REPEATS
        numbers.append(("with other seeds, mean", f"{protocol['confirm_mean']:.3f}", ends))
    test = protocol.get("test") or {}
    if isinstance(test.get("mean"), float):
        numbers.append(
            (
                str(protocol.get("test_metric", "test")),
                f"{test['mean']:.3f}",
                "touched for the winner alone",
            )
        )
    of = "" if summary.budget is None else f" of {summary.budget}"
    counts = ", ".join(f"{count} {state}" for state, count in summary.counts.items())
    numbers.append(("trials ended", f"{summary.ended}{of}", counts))
    if summary.workers:
        numbers.append(
            (
                "of work",
                format_runtime(summary.compute_h * 3600),
                f"in {format_runtime(summary.wall_h * 3600)}",
            )
        )
    if summary.idle.waiting == summary.idle.waiting:
        numbers.append(("idle while trials waited", f"{100 * summary.idle.waiting:.1f} %", ""))
    return numbers


def trials_table(view: StudyView) -> Table:
    """Return one row per trial, the best first, then those that did not finish."""
    goals = view.objectives
    better: dict[bool, Any] = {True: "high", False: "low"}
    columns = (
        Column("trial", numeric=False),
        Column("state", numeric=False),
        *(Column(goal.metric, better=better[goal.maximises]) for goal in goals),
        *(
            Column(scale.label, numeric=scale.is_numeric, note=name)
            for name, scale in view.scales.items()
        ),
        Column("steps", note="Epochs or folds that it reported"),
        Column("time (s)", note="Of work, all starts together"),
        Column("starts"),
        Column("worker", numeric=False),
        Column("why", numeric=False),
    )
    rows = sorted(view.trials.to_dict("records"), key=lambda row: _order(row, view))
    cells = [_trial_cells(row, view) for row in rows]
    kept = [
        place
        for place, column in enumerate(columns)
        if place < 2 or any(row[place].value is not None for row in cells)
    ]
    shown = tuple(columns[place] for place in kept)
    first = 2 if goals[0].maximises and 2 in kept else None
    marked = mark_best(shown, [tuple(row[place] for place in kept) for row in cells])
    return Table("trials-table", "All trials of the study", shown, marked, first)


def _order(row: Mapping[Hashable, Any], view: StudyView) -> tuple[float, ...]:
    goal = view.objectives[0]
    value = row[goal.metric] if row["state"] == "finished" else row["last_value"]
    return (
        _STATE_ORDER[row["state"]],
        -goal.sign * value if value == value else 0.0,
        row["number"],
    )


def _trial_cells(row: Mapping[Hashable, Any], view: StudyView) -> list[Cell]:
    error = f"{row['reason']}: {row['error']}" if isinstance(row["error"], str) else row["reason"]
    steps = int(row["last_step"]) + 1 if row["last_step"] == row["last_step"] else None
    return [
        Cell(str(row["number"]), float(row["number"])),
        text_cell(row["state"], css=f"status {row['state']}"),
        *(number_cell(float(row[goal.metric]), 4) for goal in view.objectives),
        *(_param_cell(row.get(f"{PARAM}{name}")) for name in view.scales),
        number_cell(steps),
        number_cell(float(row["duration_s"]), 1),
        number_cell(int(row["attempts"])),
        _word_cell(row["worker"]),
        _word_cell(error),
    ]


def _word_cell(value: object) -> Cell:
    return text_cell(value if isinstance(value, str) else None, css="setting")


def _param_cell(value: object) -> Cell:
    text = param_text(value)
    if text == "-":
        return text_cell(None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(text, float(value))
    return text_cell(text, css="setting" if len(text) > _LONG else "")


def confirm_table(protocol: Protocol | None) -> Table | None:
    """Return one row per seed that the winner was trained anew with; None without any."""
    runs = (protocol or {}).get("confirm") or []
    if not runs or protocol is None:
        return None
    metric, test = str(protocol.get("metric")), str(protocol.get("test_metric") or "")
    columns = (
        Column("seed", numeric=False),
        Column(metric),
        Column(test or "test"),
        Column("run", numeric=False),
    )
    rows = tuple(
        (
            Cell(str(one["seed"]), float(one["seed"])),
            number_cell(one.get("value"), 4),
            number_cell((one.get("test") or {}).get(test), 4),
            text_cell(one.get("run_dir"), css="setting"),
        )
        for one in runs
    )
    return Table("confirm-table", "The winner trained anew with other seeds", columns, rows)


def workers_table(summary: StudySummary) -> Table | None:
    """Return one row per worker: how long it was there and how long idle; None without any."""
    if not summary.workers:
        return None
    columns = (
        Column("worker", numeric=False),
        Column("there (s)", note="From its first start to the study's last end"),
        Column("idle (s)"),
        Column("idle, share"),
        Column("idle while trials waited (s)"),
        Column("idle while trials waited, share"),
    )
    rows = tuple(
        (
            text_cell(row["lane"]),
            number_cell(row["total_s"], 1),
            number_cell(row["idle_s"], 1),
            number_cell(row["idle"]),
            number_cell(row["idle_waiting_s"], 1),
            number_cell(row["idle_waiting"]),
        )
        for row in summary.idle.table.to_dict("records")
    )
    return Table("workers-table", "Workers", columns, rows)


def error_texts(view: StudyView) -> list[tuple[str, str]]:
    """Return title and traceback of the failed trials that left one."""
    failed = [(trial.number, trial.user_attrs) for trial in view.frozen]
    return [
        (
            f"Trial {number}: {message.get(ERROR) or message.get(REASON) or 'failed'}",
            str(message[TRACEBACK]),
        )
        for number, message in failed
        if message.get(TRACEBACK)
    ]


def _words_table(
    key: str, caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]
) -> Table | None:
    if not rows:
        return None
    columns = tuple(Column(head, numeric=False) for head in heads)
    return Table(
        f"{key}-table",
        caption,
        columns,
        tuple(tuple(text_cell(one) for one in row) for row in rows),
    )
