"""Files of the log: `DAY/part-TIME-WRITER-NUMBER.parquet`, each whole or absent, small ones joined later."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seglab.core.disk.files import atomic_path
from seglab.monitor.log.schema import REPLACES_KEY, SCHEMA, times_of

_DAY = 86_400_000_000  # microseconds
_ROWS_PER_GROUP = 2048  # what is held while files are joined; a row may have thousands of features
# Numbers hardly repeat: to look for those that do took five times as long, and the files were larger.
_REPEATING = [one.name for one in SCHEMA if pa.types.is_string(one.type)]
_AT_ONCE, _JOINED_BYTES = 24, 16 * 2**20


def day_of(seconds: float) -> str:
    """Return the name of the folder of a time, in UTC."""
    return _moment(seconds).strftime("%Y-%m-%d")


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def parts_of(folder: Path, first: str = "", last: str = "9") -> list[Path]:
    """Return the files of the log, the oldest first; of days from `first` to `last`."""
    return [
        path
        for day in sorted(folder.glob("[0-9]*-[0-9]*-[0-9]*"))
        if first <= day.name <= last
        for path in sorted(day.glob("part-*.parquet"))
    ]


class Parts:
    """The files that one writer makes.

    Args:
        folder: Of the log.
        writer: Names the writer; no other may have the same name.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self.folder, self._writer, self._number = folder, writer, 0
        self._day, self._small = "", list[tuple[Path, int]]()

    def write(self, table: pa.Table) -> int:
        """Write rows, each day's in its folder; return the bytes of the new files.

        Args:
            table: In order of time.

        Raises:
            OSError: They cannot be written; those of days before may be.
        """
        size, times = 0, times_of(table)
        days = times // _DAY
        starts = np.flatnonzero(np.diff(days, prepend=-1))
        for start, end in itertools.pairwise([*starts.tolist(), len(table)]):
            size += self._write_day(table.slice(start, end - start), day_of(times[start] / 1e6))
        return size

    def _write_day(self, rows: pa.Table, day: str) -> int:
        if day != self._day:
            self._join()
            self._day, self._small = day, []
        path = self._place(_moment(times_of(rows)[0] / 1e6).strftime("%H%M%S"), day)
        size = write_part(rows.to_batches(), rows.schema, path)
        self._small.append((path, size))
        if len(self._small) >= _AT_ONCE:
            self._join()
        return size

    def _place(self, first: str, day: str) -> Path:
        self._number += 1
        return self.folder / day / f"part-{first}-{self._writer}-{self._number}.parquet"

    def _join(self) -> None:
        """Write the small files of a day as one, some rows at a time: thousands of them take long to open.

        The new one names those that it stands for, so that no row counts twice where the process ends
        before they are removed.
        """
        self._small = [one for one in self._small if one[0].exists()]  # others were pruned
        small = [path for path, _ in self._small]
        if len(small) < 2:
            return
        names = json.dumps([path.name for path in small]).encode()
        schema = SCHEMA.with_metadata({**SCHEMA.metadata, REPLACES_KEY: names})
        path = self._place(min(path.name.split("-")[1] for path in small), small[0].parent.name)
        size = write_part(_batches(small), schema, path)
        for old in small:
            old.unlink(missing_ok=True)
        self._small = [(path, size)] if size < _JOINED_BYTES else []


def replaced_by(metadata: dict[bytes, bytes]) -> Sequence[str]:
    """Return the names of the files that a file stands for."""
    names: list[str] = json.loads(metadata.get(REPLACES_KEY, b"[]"))
    return names


def _batches(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pq.ParquetFile(path) as file:  # `read_table` would import pandas
            yield from file.iter_batches(_ROWS_PER_GROUP, use_threads=False)


def write_part(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    """Write rows as groups of some thousand; return the bytes of the file."""
    held: list[pa.RecordBatch] = []
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(
            temporary, schema, compression="zstd", use_dictionary=_REPEATING
        ) as file:
            for batch in batches:
                held.append(batch.replace_schema_metadata(schema.metadata))
                if sum(map(len, held)) >= _ROWS_PER_GROUP:
                    file.write_table(pa.Table.from_batches(held), _ROWS_PER_GROUP)
                    held = []
            if held:
                file.write_table(pa.Table.from_batches(held), _ROWS_PER_GROUP)
        return temporary.stat().st_size
