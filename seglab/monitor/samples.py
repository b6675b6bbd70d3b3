"""Rows to measure drift and quality on: of images that a bundle knows, and of those it was asked about."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seglab.bundle.loader import read_files
from seglab.core.errors import DataError
from seglab.monitor.log.schema import OK, SCHEMA, STATISTICS, in_order, times_of

_NOT_STATISTICS = {"features", "streams"}


class Sample(NamedTuple):
    """Images, by their numbers, in order of time."""

    statistics: dict[str, np.ndarray]
    """By name, float32 `(n, ...)`."""
    features: np.ndarray | None
    """float32 `(n, F)`."""
    streams: np.ndarray
    """Camera or sequence of each, str `(n,)`; empty where it is not known."""
    times: np.ndarray
    """Seconds since 1970, float64 `(n,)`; of a reference the position."""

    @property
    def num_images(self) -> int:
        """How many images there are."""
        return len(self.times)

    def take(self, rows: slice | np.ndarray) -> Sample:
        """Return some of the images, in the order given."""
        return Sample(
            {name: values[rows] for name, values in self.statistics.items()},
            None if self.features is None else self.features[rows],
            self.streams[rows],
            self.times[rows],
        )


def joined_samples(samples: Sequence[Sample]) -> Sample:
    """Return the images of several samples of one bundle, one after another; features where all have them."""
    features = [one.features for one in samples if one.features is not None]
    return Sample(
        {
            name: np.concatenate([one.statistics[name] for one in samples])
            for name in samples[0].statistics
        },
        np.concatenate(features) if len(features) == len(samples) else None,
        np.concatenate([one.streams for one in samples]),
        np.concatenate([one.times for one in samples]),
    )


def readable_name(name: str, classes: Sequence[str]) -> str:
    """Return a statistic's name with the class for its number, such as `class_shares: sky`."""
    stem, _, place = name.partition("[")
    number = int(place[:-1]) if place else 0
    return f"{stem}: {classes[number]}" if stem == "class_shares" else name


def reference_sample(source: str | Path | Mapping[str, np.ndarray]) -> Sample:
    """Return what a bundle knows of the images it was measured on.

    Args:
        source: A bundle (folder or zip), its `reference.npz`, or the arrays of one. Those of older bundles
            have no `confusion`, `true_confusion` and `streams`.

    Raises:
        DataError: There is no reference.
    """
    held = source if isinstance(source, Mapping) else _read_reference(Path(source))
    statistics = {
        name: np.asarray(values) for name, values in held.items() if name not in _NOT_STATISTICS
    }
    count = len(next(iter(statistics.values()), ()))
    if not count:
        raise DataError("expected a bundle with statistics of known images, got one without rows")
    features = held.get("features")
    streams = np.asarray(held.get("streams", np.full(count, "")))
    return Sample(statistics, features, streams, np.arange(count, dtype=np.float64))


def _read_reference(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        content = path.read_bytes()
    else:
        files = read_files(path)
        if "reference.npz" not in files:
            raise DataError(f"{path}: expected a bundle with a reference.npz; export it again")
        content = files["reference.npz"]
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        return dict(held)


def logged_sample(table: pa.Table) -> Sample:
    """Return the images of a log that got a prediction.

    Args:
        table: Of `read_log`, with `time`, `status` and the columns wanted; those of one bundle, whose
            lists are of one length.

    Raises:
        DataError: Lists of one column differ in length: the rows are of different bundles.
    """
    if "status" in table.column_names:
        table = table.filter(pc.equal(table["status"], OK))
    table = in_order(table)
    names = [name for name in STATISTICS if name in table.column_names]
    statistics = {name: _array(table, name) for name in names}
    if "confusion" in statistics and len(table):
        side = round(statistics["confusion"].shape[1] ** 0.5)
        statistics["confusion"] = statistics["confusion"].reshape(-1, side, side)
    has_features = "features" in table.column_names and not table["features"].null_count
    streams = np.full(len(table), "")
    if "stream" in table.column_names:
        streams = np.array(table["stream"].fill_null("").to_pylist(), dtype=np.str_)
    times = times_of(table) / 1e6
    return Sample(statistics, _array(table, "features") if has_features else None, streams, times)


def _array(table: pa.Table, name: str) -> np.ndarray:
    """Return a column as float32 `(n,)` or `(n, values)`."""
    column = table[name].combine_chunks()
    if not pa.types.is_list(SCHEMA.field(name).type):
        numbers: np.ndarray = column.to_numpy(zero_copy_only=False).astype(np.float32)
        return numbers
    values = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise DataError(
            f"{name}: expected lists of one length, got {sorted(map(str, lengths))}; read the rows of "
            "one bundle"
        )
    found: np.ndarray = values.reshape(len(table), lengths[0] if lengths else 0)
    return found
