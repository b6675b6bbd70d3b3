"""Tables as plain rows, for the terminal, Markdown and trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from rich.table import Table

from seglab.core.sample_size import TOO_FEW_IMAGES

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


def rich_table(rows: Sequence[Mapping[str, Cell]], title: str = "", footer: bool = True) -> Table:
    """Return rows as a table for the terminal; with `footer` a line sets the last row apart."""
    table = Table(title=title or None, title_justify="left", header_style="bold", pad_edge=False)
    columns = _columns(rows)
    for column in columns:
        numeric = any(not isinstance(row.get(column, ""), str) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for number, row in enumerate(rows, start=1):
        before_last = footer and number == len(rows) - 1
        table.add_row(
            *(format_cell(row.get(column)) for column in columns), end_section=before_last
        )
    return table


def frame_rows(frame: pd.DataFrame) -> list[Row]:
    """Return a data frame as rows."""
    return [dict(zip(map(str, frame), row, strict=True)) for row in frame.itertuples(index=False)]


def markdown_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Return rows as a GitHub table, numbers to the right; `|` in names is escaped."""
    columns = _columns(rows)
    numeric = [any(not isinstance(row.get(name, ""), str) for row in rows) for name in columns]
    lines = [
        _line(columns),
        _line(["---:" if right else "---" for right in numeric]),
        *(_line([format_cell(row.get(column)) for column in columns]) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
