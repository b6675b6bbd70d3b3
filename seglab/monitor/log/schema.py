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
    """Return rows as a table.

    Args:
        rows: By column; those left out are null, arrays are laid out row by row. `time` is in seconds
            since 1970, or a datetime with a time zone.
    """
    columns = [_column([row.get(one.name) for row in rows], one) for one in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _column(values: Iterable[Any], field: pa.Field) -> pa.Array:
    if field.name == "time":
        values = [
            round(1e6 * (one if isinstance(one, float | int) else one.timestamp()))
            for one in values
        ]
        return pa.array(values, pa.int64()).cast(field.type)
    if field.type == _NUMBERS:
        return pa.array([_flat(one) for one in values], field.type)
    return pa.array(values, field.type)


def _flat(value: Any) -> Any:
    return None if value is None else np.asarray(value, np.float32).reshape(-1)
