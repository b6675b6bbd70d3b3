"""Tables as plain rows, for the terminal, Markdown and trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seglab.core.sample_size import TOO_FEW_IMAGES
from seglab.core.text.escape import csv_text, markdown, one_line
from seglab.core.text.terminal import PlainTable

Cell = str | int | float
Row = dict[str, Cell]
UNDEFINED = "-"


def format_cell(value: Cell | None, digits: int = 3) -> str:
    """Return a score with three digits, a count in groups of thousands, `-` if undefined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNDEFINED
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def interval_cell(low: float, high: float, digits: int = 3, too_few: str = TOO_FEW_IMAGES) -> str:
    """Return an interval as `LOW to HIGH`; NaN, of a score that has one: what is too few to tell."""
    if math.isnan(low) or math.isnan(high):
        return too_few
    return f"{low:.{digits}f} to {high:.{digits}f}"


def rich_table(
    rows: Sequence[Mapping[str, Cell]], title: str = "", footer: bool = True
) -> PlainTable:
    """Return rows as a table for the terminal; with `footer` a line sets the last row apart."""
    table = PlainTable(
        title=one_line(title), title_justify="left", header_style="bold", pad_edge=False
    )
    columns = _columns(rows)
    for column in columns:
        numeric = any(not isinstance(row.get(column, ""), str) for row in rows)
        table.add_column(one_line(column), justify="right" if numeric else "left", no_wrap=numeric)
    for number, row in enumerate(rows, start=1):
        before_last = footer and number == len(rows) - 1
        table.add_row(
            *(one_line(format_cell(row.get(column))) for column in columns), end_section=before_last
        )
    return table


def frame_rows(frame: pd.DataFrame) -> list[Row]:
    """Return a data frame as rows."""
    return [dict(zip(map(str, frame), row, strict=True)) for row in frame.itertuples(index=False)]


def markdown_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows as a GitHub table, numbers to the right; text is shown as it is."""
    columns = _columns(rows)
    numeric = [any(not isinstance(row.get(name, ""), str) for row in rows) for name in columns]
    lines = [
        _line([markdown(name) for name in columns]),
        _line(["---:" if right else "---" for right in numeric]),
        *(_line([markdown(format_cell(row.get(name))) for name in columns]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def csv_table(frame: pd.DataFrame) -> str:
    """Return a data frame as CSV; no spreadsheet calculates its text, see `csv_text`."""
    safe = frame.apply(lambda cells: cells.map(_csv_cell) if cells.dtype.kind == "O" else cells)
    return safe.rename(columns=lambda name: csv_text(str(name))).to_csv(index=False)


def _csv_cell(cell: Any) -> Any:
    return csv_text(cell) if isinstance(cell, str) else cell


def _columns(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
