"""Tables as the page shows them: columns, cells with the value they sort by, the best marked."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from seglab.analysis.tables import UNDEFINED, format_cell
from seglab.core.sample_size import TOO_FEW_IMAGES

Better = Literal["high", "low", ""]
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        title: Its heading.
        group: Columns of a named group can be hidden together; the style sheet knows `iou`, `more`,
            `cost`, `settings` and `facts`.
        numeric: Numbers stand to the right.
        note: Said when the pointer rests on the heading.
        better: Which end is good; the best cell of such a column is marked.
    """

    title: str
    group: str = ""
    numeric: bool = True
    note: str = ""
    better: Better = ""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: What is shown.
        value: What it sorts by; None sorts last either way.
        sub: A second, smaller line.
        best: Marked as the best of its column.
        link: Key of a place in the page.
        heat: 0..100, how deep the cell is coloured; None: not at all.
        band: Start, middle and end of an interval; see `scale_bands`.
        css: Further style class.
    """

    text: str
    value: float | str | None = None
    sub: str = ""
    best: bool = False
    link: str = ""
    heat: float | None = None
    band: tuple[float, float, float] | None = None
    css: str = ""


@dataclass(frozen=True)
class Table:
    """A table: rows of one cell a column; `sorted_by` is the column they are ordered by, falling."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sorted_by: int | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of columns it has."""
        return tuple(dict.fromkeys(column.group for column in self.columns if column.group))


# A column and what makes its cell of a thing.
Field = tuple[Column, Callable[[T], Cell]]


def make_table(
    key: str, caption: str, fields: Sequence[Field[T]], things: Iterable[T], keep: int | None = None
) -> Table:
    """Return one row a thing.

    Args:
        key: Of the table in the page.
        caption: What it shows.
        fields: Its columns.
        things: Its rows.
        keep: Of the fields after so many those are left out that no thing has a value for; None:
            all stay.
    """
    rows = [tuple(cell(thing) for _, cell in fields) for thing in things]
    kept = [
        place
        for place in range(len(fields))
        if keep is None or place < keep or any(row[place].value is not None for row in rows)
    ]
    columns = tuple(fields[place][0] for place in kept)
    return Table(key, caption, columns, tuple(tuple(row[place] for place in kept) for row in rows))


def text_cell(value: object, **more: object) -> Cell:
    """Return a cell of words; None is shown as undefined."""
    text = UNDEFINED if value is None or value == "" else str(value)
    sort = None if text == UNDEFINED else text.lower()
    return replace(Cell(text, sort), **more)  # type: ignore[arg-type]


def number_cell(value: float | int | None, digits: int = 3, **more: object) -> Cell:
    """Return a cell of a number; NaN and None are shown as undefined."""
    defined = value is not None and math.isfinite(value)
    return replace(Cell(format_cell(value, digits), value if defined else None), **more)  # type: ignore[arg-type]


def as_number(value: object) -> float:
    """Return a value out of a table as a float; what is no number is NaN."""
    return float(value) if isinstance(value, numbers.Real) else math.nan


def whole_cell(value: object) -> Cell:
    """Return a cell of a count, which a table with gaps may hold as a float."""
    number = as_number(value)
    return number_cell(int(number) if math.isfinite(number) else None)


def interval_text(
    low: float | None, high: float | None, too_few: str = TOO_FEW_IMAGES, digits: int = 3
) -> str:
    """Return `[low, high]`; where they are NaN what is too few to tell; empty where None: not given."""
    if low is None or high is None:
        return ""
    if not (math.isfinite(low) and math.isfinite(high)):
        return too_few
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def band(low: float | None, middle: float, high: float | None) -> tuple[float, float, float] | None:
    """Return an interval for `scale_bands`; None where undefined."""
    if low is None or high is None:
        return None
    values = (low, middle, high)
    return values if all(math.isfinite(value) for value in values) else None


def scale_bands(rows: Sequence[tuple[Cell, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """Turn the bands of a table into per cents of a bar that runs from the lowest end to the highest."""
    ends = [value for row in rows for cell in row if cell.band for value in cell.band]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    width = max(high - low, 1e-9)

    def scaled(cell: Cell) -> Cell:
        if cell.band is None:
            return cell
        start, mark, end = (round(100 * (value - low) / width, 1) for value in cell.band)
        return replace(cell, band=(start, mark, end))

    return tuple(tuple(scaled(cell) for cell in row) for row in rows)


def mark_best(
    columns: Sequence[Column],
    rows: Sequence[tuple[Cell, ...]],
    comparable: Callable[[int], Hashable] = lambda _row: None,
) -> tuple[tuple[Cell, ...], ...]:
    """Mark the best cell of each column that has a good end.

    Args:
        columns: Of the table.
        rows: Its rows.
        comparable: Number of a row -> with which others it may be compared. Where all
            comparable rows have one value none is the best; equal best ones are marked together.
    """
    marked = [list(row) for row in rows]
    for place, column in enumerate(columns):
        if not column.better:
            continue
        groups: dict[Hashable, list[tuple[float, int]]] = {}
        for index, row in enumerate(rows):
            value = row[place].value
            if isinstance(value, int | float):
                groups.setdefault(comparable(index), []).append((float(value), index))
        for members in groups.values():
            pick = max if column.better == "high" else min
            best = pick(value for value, _ in members)
            if len({value for value, _ in members}) < 2:
                continue
            for value, index in members:
                if value == best:
                    marked[index][place] = replace(marked[index][place], best=True)
    return tuple(tuple(row) for row in marked)
