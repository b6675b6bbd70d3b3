"""A long log of real frames, each with some noise so that nothing compresses away."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from seglab.bundle.loader import Bundle, load
from seglab.monitor.log.parts import write_part
from seglab.monitor.log.schema import SCHEMA
from seglab.monitor.samples import Sample

_ROWS_OF_PART, _DAYS = 10_000, 10
_BEGIN = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def write_log(folder: Path, frames: Sample, bundle: Path, rows: int) -> None:
    """Write a log over ten days whose images are frames in order, again and again."""
    named, rng = load(bundle, check=False), np.random.default_rng(0)
    apart = _DAYS * 86_400 / rows
    for start in range(0, rows, _ROWS_OF_PART):
        count = min(_ROWS_OF_PART, rows - start)
        times = _BEGIN.timestamp() + apart * (start + np.arange(count))
        day = datetime.datetime.fromtimestamp(times[0], datetime.UTC)
        place = folder / f"{day:%Y-%m-%d}" / f"part-{day:%H%M%S}-1-{start}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        chosen = frames.take((start + np.arange(count)) % len(frames.times))
        part = _part(chosen, times, named, start, rng)
        write_part(part.to_batches(), part.schema, place)


def _part(
    chosen: Sample, times: np.ndarray, bundle: Bundle, start: int, rng: np.random.Generator
) -> pa.Table:
    count = len(times)
    columns: dict[str, pa.Array] = {
        "time": pa.array((times * 1e6).astype(np.int64)).cast(SCHEMA.field("time").type),
        "request_id": pa.array([f"{start + number:032x}" for number in range(count)]),
        "image": pa.array(np.zeros(count, np.int32)),
        "stream": pa.array([f"camera {number % 4}" for number in range(count)]),
        "bundle": pa.array([bundle.id] * count),
        "variant": pa.array([bundle.variant] * count),
        "status": pa.array(["ok"] * count),
        "latency": pa.array(rng.gamma(4, 0.05, count).astype(np.float32)),
        "queue": pa.array(rng.gamma(1, 0.01, count).astype(np.float32)),
        "predict": pa.array(rng.gamma(4, 0.04, count).astype(np.float32)),
    }
    held = {**chosen.statistics, "features": np.asarray(chosen.features)}
    for name in SCHEMA.names:
        if name in held:
            values = held[name].reshape(count, -1)
            noisy = (values * rng.normal(1, 0.01, values.shape)).astype(np.float32)
            columns[name] = (
                pa.FixedSizeListArray.from_arrays(pa.array(noisy.reshape(-1)), values.shape[1])
                if pa.types.is_list(SCHEMA.field(name).type)
                else pa.array(noisy[:, 0])
            )
    arrays = [
        columns[one.name].cast(one.type) if one.name in columns else pa.nulls(count, one.type)
        for one in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
