"""Confusion matrices of a report: rows as shares of the true class, and the worst mix-ups in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seglab.analysis.evaluation.class_scores import mixups
from seglab.analysis.report.cells import Cell, Column, Table, text_cell

# A wider table cannot be read, and weighs: 150 classes are 22,500 cells.
MAX_CLASSES = 32
_LISTED = 8
_DARK = 66.0


@dataclass(frozen=True)
class ConfusionView:
    """One matrix.

    Args:
        title: Which run or split.
        table: None where there are too many classes for one.
        mixups: The largest confusions in words, the one with the most pixels first.
    """

    title: str
    table: Table | None
    mixups: tuple[str, ...]


def confusion_view(
    key: str, title: str, confusion: np.ndarray, class_names: Sequence[str]
) -> ConfusionView:
    """Return a matrix as a table of per cents of the true class; a class without pixels is undefined.

    Args:
        key: Name within the page.
        title: Which run or split.
        confusion: Integer `(C, C)`, rows = target.
        class_names: One per class.
    """
    table = None
    if len(class_names) <= MAX_CLASSES:
        columns = (
            Column("true class", numeric=False),
            *(Column(name) for name in class_names),
            Column("pixels", note="Of the true class"),
        )
        shares = row_shares(confusion)
        rows = tuple(
            _row(name, index, shares[index], int(confusion[index].sum()))
            for index, name in enumerate(class_names)
        )
        caption = f"{title}: per cent of the pixels of each true class (row), by predicted class"
        table = Table(key, caption, columns, rows)
    return ConfusionView(title, table, tuple(largest_mixups(confusion, class_names)))


def _row(name: str, index: int, shares: np.ndarray, pixels: int) -> tuple[Cell, ...]:
    cells = [text_cell(name, css="name")]
    for column, share in enumerate(shares):
        right = "right" if column == index else ""
        if np.isnan(share):
            cells.append(Cell("-", None, css=right))
            continue
        percent = 100.0 * float(share)
        text = "0" if percent == 0 else ("<1" if percent < 0.5 else f"{percent:.0f}")
        dark = " deep" if percent > _DARK else ""
        cells.append(Cell(text, percent, heat=round(percent, 1), css=right + dark))
    return (*cells, Cell(f"{pixels:,}", pixels))


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """Return each row divided by its sum, `(C, C)`; NaN for a class absent from the target."""
    sums = confusion.sum(axis=1, keepdims=True).astype(np.float64)
    shares = np.full(confusion.shape, np.nan)
    np.divide(confusion, sums, out=shares, where=sums > 0)
    return shares


def largest_mixups(
    confusion: np.ndarray, class_names: Sequence[str], limit: int = _LISTED
) -> list[str]:
    """Return sentences about the off-diagonal cells with the most pixels."""
    return [
        f"{pair.target} taken for {pair.prediction}: {pair.share_of_target:.1%} of {pair.target}, "
        f"{pair.share_of_errors:.1%} of all wrong pixels"
        for pair in mixups(confusion, class_names, limit).itertuples()
    ]
