"""The learning curves of one run: `history.csv`, one row per epoch.

A row is on the disk before training goes on, and a row cut short by a kill is dropped, never
read as data. New columns may appear at any epoch (a metric computed every fifth epoch only).
"""

from __future__ import annotations

import csv
import io
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.core.disk.files import write_text
from seglab.core.disk.places import placing
from seglab.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

EPOCH = "epoch"
STEP = "step"

Value = float | int | str | None


def read_history(path: Path) -> pd.DataFrame:
    """Return the whole rows of a history file; empty with an `epoch` column where there is none.

    Missing values are NaN. A last line without its line end was cut by a kill and is left out.
    """
    import pandas as pd

    text = _whole_lines(path)
    if not text.strip():
        return pd.DataFrame({EPOCH: pd.Series(dtype="int64")})
    return pd.read_csv(io.StringIO(text), float_precision="round_trip")


def _whole_lines(path: Path) -> str:
    if not path.is_file():
        return ""
    # NUL bytes: a file system that grew the file before the crash, but never wrote the data.
    text = path.read_bytes().decode("utf-8", errors="replace").split("\0", 1)[0]
    return text[: text.rfind("\n") + 1]


class HistoryFile:
    """Writer of one history file; one process at a time writes a run.

    Args:
        path: The CSV file; made at the first row. Rows of an earlier segment are kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] | None = None

    def append(self, row: Mapping[str, Value]) -> None:
        """Write one epoch and wait until it is on the disk.

        Args:
            row: Values by column, `epoch` among them. None and NaN become empty cells. A column not
                seen before rewrites the file, in one step, with empty cells in the earlier rows.

        Raises:
            DataError: `row` has no `epoch`.
        """
        if EPOCH not in row:
            raise DataError(f"a history row needs the key {EPOCH!r}, got {sorted(row)}")
        columns = self._columns if self._columns is not None else self._prepare()
        new = [key for key in row if key not in columns]
        if new:
            rows = [*_parse(_whole_lines(self.path)), _cells(row)]
            self._rewrite([*columns, *new], rows)
            return
        with placing(self.path), self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_format(columns, [_cells(row)]))
            stream.flush()
            os.fsync(stream.fileno())

    def truncate(self, epoch: int) -> None:
        """Drop the rows of `epoch` and later: a resumed run writes them again."""
        rows = _parse(_whole_lines(self.path))
        kept = [row for row in rows if float(row[EPOCH]) < epoch]
        if rows and len(kept) < len(rows):
            self._rewrite(list(rows[0]), kept)
        else:
            self._prepare()

    def _prepare(self) -> list[str]:
        """Cut a torn last line away, so that the next row starts a line; return the columns."""
        text = _whole_lines(self.path)
        if self.path.is_file() and self.path.stat().st_size != len(text.encode("utf-8")):
            write_text(self.path, text)
        self._columns = next(csv.reader(io.StringIO(text)), [])
        return self._columns

    def _rewrite(self, columns: list[str], rows: Sequence[Mapping[str, str]]) -> None:
        header = dict(zip(columns, columns, strict=True))
        write_text(self.path, _format(columns, [header, *rows]))
        self._columns = columns


def _parse(text: str) -> list[dict[str, str]]:
    return [
        {key: value or "" for key, value in row.items() if key is not None}
        for row in csv.DictReader(io.StringIO(text))
    ]


def _cells(row: Mapping[str, Value]) -> dict[str, str]:
    """Return text that reads back to the same number; None and NaN become empty."""
    return {
        key: "" if value is None or value != value else _text(value) for key, value in row.items()
    }


def _text(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    # operator.index and float first: the repr of a NumPy scalar is "np.float64(...)".
    return str(operator.index(value)) if hasattr(value, "__index__") else repr(float(value))


def _format(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writerows(rows)
    return stream.getvalue()
