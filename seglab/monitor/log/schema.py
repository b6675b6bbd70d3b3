"""The columns of the log, declared once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

OK = "ok"
VERSION = 1
VERSION_KEY, REPLACES_KEY = b"seglab_log_version", b"seglab_log_replaces"
_NUMBERS = pa.list_(pa.float32())
_NONE = np.empty(0, np.float32)

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),  # when the answer was ready
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("image", pa.int32(), nullable=False),  # number within the request, from 0
        pa.field("name", pa.string()),  # the caller's file name
        pa.field("stream", pa.string()),  # camera or sequence
        pa.field("bundle", pa.string(), nullable=False),  # `Bundle.id`
        pa.field("variant", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # OK, or the code of the refusal
        pa.field("latency", pa.float32(), nullable=False),  # seconds of the whole request
        pa.field("queue", pa.float32()),  # seconds
        pa.field("predict", pa.float32()),  # seconds
        # From here on null where there was no prediction.
        pa.field("size", _NUMBERS),
        pa.field("channel_mean", _NUMBERS),
        pa.field("channel_std", _NUMBERS),
        pa.field("sharpness", pa.float32()),
        pa.field("confidence", pa.float32()),
        pa.field("entropy", pa.float32()),
        pa.field("class_shares", _NUMBERS),
        pa.field("predicted_mean", _NUMBERS),
        pa.field("confusion", _NUMBERS),  # `[t, p]` row by row
        pa.field("features", _NUMBERS),
        pa.field("stored", pa.string()),  # image or thumbnail, below the log's folder
    ],
    metadata={VERSION_KEY: str(VERSION).encode()},
)
STATISTICS = (
    "size channel_mean channel_std sharpness confidence entropy class_shares predicted_mean confusion"
).split()


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table, in order of time.

    The columns are made of buffers: `pyarrow.array` would import pandas, in every worker of a service.

    Args:
        rows: By column; those left out are null, arrays are laid out row by row. `time` is in seconds
            since 1970, or a datetime with a time zone.
    """
    times = np.array([_seconds(row["time"]) for row in rows], np.float64)
    ordered = [rows[place] for place in np.argsort(times, kind="stable")]
    columns = [_column([row.get(one.name) for row in ordered], one.type) for one in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _seconds(time: Any) -> float:
    return float(time if isinstance(time, float | int) else time.timestamp())


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    known = np.array([one is not None for one in values], bool)
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    count, children = len(values), []
    if pa.types.is_timestamp(kind):
        held = [np.array([round(1e6 * _seconds(one)) for one in values], np.int64)]
    elif pa.types.is_string(kind):
        texts = [b"" if one is None else str(one).encode() for one in values]
        held = [_ends(map(len, texts)), np.frombuffer(b"".join(texts), np.uint8)]
    elif pa.types.is_list(kind):
        lists = [_NONE if one is None else np.ravel(one) for one in values]
        held = [_ends(map(len, lists))]
        flat = np.concatenate([_NONE, *lists], dtype=np.float32)
        children = [pa.Array.from_buffers(pa.float32(), len(flat), [None, pa.py_buffer(flat)])]
    else:
        numbers = [0 if one is None else one for one in values]
        held = [np.array(numbers, kind.to_pandas_dtype())]
    buffers = [valid, *map(pa.py_buffer, held)]
    return pa.Array.from_buffers(kind, count, buffers, children=children)


def _ends(lengths: Iterable[int]) -> np.ndarray:
    return np.cumsum([0, *lengths], dtype=np.int32)


def times_of(table: pa.Table) -> np.ndarray:
    """Return the times of rows, int64 `(n,)`, microseconds since 1970; `to_numpy` would import pandas too."""
    found = [
        np.frombuffer(chunk.buffers()[1], np.int64, len(chunk), 8 * chunk.offset)
        for chunk in table["time"].chunks
    ]
    return np.concatenate([np.empty(0, np.int64), *found])


def in_order(table: pa.Table) -> pa.Table:
    """Return rows in order of time; those of one writer are already, and to move them takes long."""
    times = times_of(table)
    return table if (times[1:] >= times[:-1]).all() else table.sort_by("time")
