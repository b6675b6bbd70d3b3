"""Scores per class as plain rows, for the terminal, Markdown and trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich.table import Table

from seglab.core.errors import ShapeError
from seglab.metrics.scores import (
    dice_per_class,
    iou_per_class,
    mean_defined,
    num_classes_averaged,
)

Cell = str | int | float
Row = dict[str, Cell]
UNDEFINED = "-"


def class_table(confusions: Mapping[str, np.ndarray], class_names: Sequence[str]) -> list[Row]:
    """Return one row a class and a last row of means.

    Args:
        confusions: Split -> integer `(num_classes, num_classes)`, rows = target; the order of
            splits is the order of columns.
        class_names: One a class.

    Returns:
        Rows with `class` and, for each split, `{split} pixels` (of the target), `{split} IoU` and
        `{split} Dice` in 0..1. A class absent from target and prediction is NaN and left out of the
        mean. The last row says how many classes each mean is over: `mean of 11`, or
        `mean of 11 (val), 10 (test)`.

    Raises:
        ShapeError: A matrix does not fit the names, or there is none.
    """
    count = len(class_names)
    wrong = [f"{split}: {np.shape(matrix)}" for split, matrix in confusions.items()
             if np.shape(matrix) != (count, count)]  # fmt: skip
    if wrong or not confusions:
        came = "; ".join(wrong) or "none"
        raise ShapeError(f"expected matrices ({count}, {count}) for {count} classes, got {came}")
    rows: list[Row] = [{"class": name} for name in class_names]
    mean: Row = {"class": f"mean of {_counts(confusions)}"}
    for split, matrix in confusions.items():
        pixels = matrix.sum(axis=1)
        for row, number in zip(rows, pixels, strict=True):
            row[f"{split} pixels"] = int(number)
        mean[f"{split} pixels"] = int(pixels.sum())
        for name, scores in (("IoU", iou_per_class(matrix)), ("Dice", dice_per_class(matrix))):
            for row, score in zip(rows, scores, strict=True):
                row[f"{split} {name}"] = float(score)
            mean[f"{split} {name}"] = mean_defined(scores)
    return [*rows, mean]


def _counts(confusions: Mapping[str, np.ndarray]) -> str:
    averaged = {split: num_classes_averaged(matrix) for split, matrix in confusions.items()}
    if len(set(averaged.values())) == 1:
        return str(next(iter(averaged.values())))
    return ", ".join(f"{count} ({split})" for split, count in averaged.items())


def format_cell(value: Cell | None, digits: int = 3) -> str:
    """Return a score with three digits, a count in groups of thousands, `-` if undefined."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNDEFINED
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


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
