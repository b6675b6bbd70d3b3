"""The rows of a period as numbers by time: traffic, latency, failures, what was predicted."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seglab.core.errors import DataError
from seglab.monitor.log.schema import OK

COLUMNS = tuple(
    "time request_id image stream bundle variant status latency queue predict confidence entropy".split()
)
_MOST_BINS, _ROWS_PER_BIN = 60, 20


@dataclass(frozen=True)
class Period:
    """Numbers by time.

    Attributes:
        edges: Ends of the bins, seconds since 1970, `(b + 1,)`.
        images: In each bin, `(b,)`.
        failed: Not answered with a prediction, in each, `(b,)`.
        latency: Median and 95th percentile of those answered, seconds, `(2, b)`; NaN in empty bins.
        stages: Median seconds in the queue and in the network, `(2, b)`.
        confidence: Mean, `(b,)`.
        entropy: Mean, `(b,)`.
        shares: Mean share of each class, `(K, b)`.
        statuses: How many rows have each status.
        bundles: Of each bundle: first and last time, images.
        requests: Different requests.
        streams: Different streams.
        rows: Images.
        p95: Of the latency, over the whole period.
    """

    edges: np.ndarray
    images: np.ndarray
    failed: np.ndarray
    latency: np.ndarray
    stages: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    shares: np.ndarray
    statuses: dict[str, int]
    bundles: dict[str, tuple[float, float, int]]
    requests: int
    streams: int
    rows: int
    p95: float

    @property
    def middles(self) -> np.ndarray:
        """Middle of each bin."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def summarise(table: pa.Table) -> Period:
    """Return the numbers of a period.

    Args:
        table: Of `read_log` with `COLUMNS` and `class_shares`, in order of time.

    Raises:
        DataError: It has no rows.
    """
    if not len(table):
        raise DataError("expected rows in this period, got none; see start and end")
    times = table["time"].cast(pa.int64()).to_numpy() / 1e6
    bins = int(np.clip(len(times) // _ROWS_PER_BIN, 1, _MOST_BINS))
    edges = np.linspace(times[0], max(times[-1], times[0] + 1e-3), bins + 1)
    places = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, bins - 1)
    answered = pc.equal(table["status"], OK).to_numpy()
    held = {name: _numbers(table, name) for name in ("latency", "queue", "predict")}
    held |= {name: _numbers(table, name) for name in ("confidence", "entropy")}
    cuts = np.searchsorted(places, np.arange(bins + 1))
    return Period(
        edges,
        np.bincount(places, minlength=bins),
        np.bincount(places[~answered], minlength=bins),
        np.stack([_quantile(held["latency"], cuts, answered, q) for q in (0.5, 0.95)]),
        np.stack([_quantile(held[name], cuts, answered, 0.5) for name in ("queue", "predict")]),
        _mean(held["confidence"], places, bins),
        _mean(held["entropy"], places, bins),
        _class_shares(table, places, bins),
        {one["values"]: one["counts"] for one in table["status"].value_counts().to_pylist()},
        _bundles(table["bundle"], times),
        pc.count_distinct(table["request_id"]).as_py(),
        pc.count_distinct(table["stream"]).as_py(),
        len(times),
        float(np.quantile(held["latency"][answered], 0.95)) if answered.any() else float("nan"),
    )


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(), np.float64)


def _mean(values: np.ndarray, places: np.ndarray, bins: int) -> np.ndarray:
    known = np.isfinite(values)
    counts = np.bincount(places[known], minlength=bins)
    sums = np.bincount(places[known], values[known], minlength=bins)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def _quantile(
    values: np.ndarray, cuts: np.ndarray, answered: np.ndarray, share: float
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an empty bin has none
        return np.array(
            [
                np.nanquantile(values[low:high][answered[low:high]], share)
                if answered[low:high].any()
                else np.nan
                for low, high in itertools.pairwise(cuts)
            ]
        )


def _class_shares(table: pa.Table, places: np.ndarray, bins: int) -> np.ndarray:
    """Return the mean share of each class; of rows of the most frequent number of classes."""
    lists = table["class_shares"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    counts = np.bincount(lengths)
    counts[0] = 0
    classes = int(counts.argmax())
    if not classes:
        return np.empty((0, bins))
    chosen = lengths == classes
    values = pc.list_flatten(lists.filter(pa.array(chosen))).to_numpy(zero_copy_only=False)
    shares = values.reshape(-1, classes).astype(np.float64)
    return np.stack([_mean(one, places[chosen], bins) for one in shares.T])


def _bundles(column: pa.ChunkedArray, times: np.ndarray) -> dict[str, tuple[float, float, int]]:
    coded = column.combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    found = {}
    for number, name in enumerate(coded.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == number)
        found[name] = (float(times[rows[0]]), float(times[rows[-1]]), len(rows))
    return found
