"""A study as one HTML page that needs nothing beside itself: result, trials, figures, what was asked."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from seglab import __version__
from seglab.analysis.report.cells import (
    Cell,
    Column,
    Field,
    Table,
    make_table,
    mark_best,
    number_cell,
    text_cell,
)
from seglab.analysis.report.model import Picture
from seglab.analysis.report.reading.pictures import Album
from seglab.analysis.report.rendering import render_template
from seglab.analysis.study.figures.figure import StudyFigure
from seglab.analysis.study.figures.write import drawings
from seglab.analysis.study.load import PARAM, StudyView, read_study
from seglab.analysis.study.marks import NotDrawableError
from seglab.analysis.study.parameters import ParamScale
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
from seglab.runs.studies.study import ERROR, REASON, TRACEBACK, StudyObjective

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
        "space": _space_table(asked.get("space") or {}),
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
    fields: list[Field[Mapping[Hashable, Any]]] = [
        (
            Column("trial", numeric=False),
            lambda row: Cell(str(row["number"]), float(row["number"])),
        ),
        (
            Column("state", numeric=False),
            lambda row: text_cell(row["state"], css=f"status {row['state']}"),
        ),
        *(_score_field(goal) for goal in goals),
        *(_param_field(name, scale) for name, scale in view.scales.items()),
        (Column("steps", note="Epochs or folds that it reported"), _steps_cell),
        (
            Column("time (s)", note="Of work, all starts together"),
            lambda row: number_cell(float(row["duration_s"]), 1),
        ),
        (Column("starts"), lambda row: number_cell(int(row["attempts"]))),
        (Column("worker", numeric=False), lambda row: _word_cell(row["worker"])),
        (Column("why", numeric=False), _why_cell),
    ]
    rows = sorted(view.trials.to_dict("records"), key=lambda row: _order(row, view))
    table = make_table("trials-table", "All trials of the study", fields, rows, keep=2)
    has_score = len(table.columns) > 2 and table.columns[2] is fields[2][0]
    marked = mark_best(table.columns, table.rows)
    return replace(table, rows=marked, sorted_by=2 if goals[0].maximises and has_score else None)


def _order(row: Mapping[Hashable, Any], view: StudyView) -> tuple[float, ...]:
    goal = view.objectives[0]
    value = row[goal.metric] if row["state"] == "finished" else row["last_value"]
    return (
        _STATE_ORDER[row["state"]],
        -goal.sign * value if value == value else 0.0,
        row["number"],
    )


def _score_field(goal: StudyObjective) -> Field[Mapping[Hashable, Any]]:
    column = Column(goal.metric, better="high" if goal.maximises else "low")
    return column, lambda row: number_cell(float(row[goal.metric]), 4)


def _param_field(name: str, scale: ParamScale) -> Field[Mapping[Hashable, Any]]:
    column = Column(scale.label, numeric=scale.is_numeric, note=name)
    return column, lambda row: _param_cell(row.get(f"{PARAM}{name}"))


def _steps_cell(row: Mapping[Hashable, Any]) -> Cell:
    return number_cell(int(row["last_step"]) + 1 if row["last_step"] == row["last_step"] else None)


def _why_cell(row: Mapping[Hashable, Any]) -> Cell:
    told = isinstance(row["error"], str)
    return _word_cell(f"{row['reason']}: {row['error']}" if told else row["reason"])


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
    test = str(protocol.get("test_metric") or "")
    fields: list[Field[Mapping[str, Any]]] = [
        (Column("seed", numeric=False), lambda one: Cell(str(one["seed"]), float(one["seed"]))),
        (Column(str(protocol.get("metric"))), lambda one: number_cell(one.get("value"), 4)),
        (Column(test or "test"), lambda one: number_cell((one.get("test") or {}).get(test), 4)),
        (Column("run", numeric=False), lambda one: text_cell(one.get("run_dir"), css="setting")),
    ]
    return make_table("confirm-table", "The winner trained anew with other seeds", fields, runs)


def workers_table(summary: StudySummary) -> Table | None:
    """Return one row per worker: how long it was there and how long idle; None without any."""
    if not summary.workers:
        return None
    there = Column("there (s)", note="From its first start to the study's last end")
    fields: list[Field[Mapping[Hashable, Any]]] = [
        (Column("worker", numeric=False), lambda row: text_cell(row["lane"])),
        (there, lambda row: number_cell(row["total_s"], 1)),
        (Column("idle (s)"), lambda row: number_cell(row["idle_s"], 1)),
        (Column("idle, share"), lambda row: number_cell(row["idle"])),
        (Column("idle while trials waited (s)"), lambda row: number_cell(row["idle_waiting_s"], 1)),
        (Column("idle while trials waited, share"), lambda row: number_cell(row["idle_waiting"])),
    ]
    return make_table("workers-table", "Workers", fields, summary.idle.table.to_dict("records"))


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


def _space_table(space: Mapping[str, object]) -> Table | None:
    fields: list[Field[tuple[str, object]]] = [
        (Column("parameter", numeric=False), lambda pair: text_cell(pair[0])),
        (Column("values", numeric=False), lambda pair: text_cell(pair[1])),
    ]
    return make_table("space-table", "Search space", fields, space.items()) if space else None
