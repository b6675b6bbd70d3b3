"""Whole columns at once, between Arrow, Python and JSON: one by one a million rows take minutes."""

from __future__ import annotations

import gc
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# What JSON cannot hold as it is.
_ESCAPED = r"[^ !#-\[\]-~]"
_ROWS_AT_ONCE = 100_000


@contextmanager
def many_lists() -> Iterator[None]:
    """Make lists by the million: Python would look through all of them again and again for cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def column_values(column: pa.ChunkedArray) -> Sequence[Any]:
    """Return the values of a column as plain Python content, as `to_pylist` does."""
    if pa.types.is_list(column.type):
        return [value for chunk in column.chunks for value in _lists(chunk)]
    if pa.types.is_string(column.type):
        return column.to_numpy()
    return column.to_numpy().tolist() if column.null_count == 0 else column.to_pylist()


def _lists(chunk: pa.ListArray) -> list[Any]:
    items = chunk.values
    if chunk.null_count or items.null_count or pa.types.is_nested(items.type):
        return chunk.to_pylist()
    flat, offsets = items.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
    lengths = np.diff(offsets)
    if len(lengths) and (lengths == lengths[0]).all():
        # As of most columns: all empty, or a count for each class.
        return flat[offsets[0] : offsets[-1]].reshape(len(lengths), lengths[0]).tolist()
    values = flat.tolist()
    return [values[start:end] for start, end in pairwise(offsets.tolist())]


def matrix_of(lists: Sequence[list[int]] | pd.Series) -> np.ndarray:
    """Return lists of one length as int64 `(N, length)`; much faster than NumPy reads lists."""
    flat = np.fromiter(chain.from_iterable(lists), dtype=np.int64)
    return flat.reshape(len(lists), -1 if len(lists) else 0)


def text_array(values: Sequence[str | None] | pd.Series) -> pa.Array:
    """Return texts as Arrow takes them; letters of names that are no UTF-8 become `?`."""
    try:
        return pa.array(values, pa.string(), from_pandas=True)
    except UnicodeEncodeError:
        known = [None if text is None else text.encode("utf-8", "replace") for text in values]
        return pa.array(known, pa.binary()).cast(pa.string())


def matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> np.ndarray:
    """Return which texts hold what an RE2 pattern says, bool `(N,)`; False where there is none."""
    found = pc.match_substring_regex(texts, pattern).fill_null(False)
    return np.asarray(found.to_pandas(), dtype=bool)


def list_sums(lists: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return length and sum of each list of integers, int64 `(N,)` each."""
    lengths = np.asarray(pc.list_value_length(lists).to_pandas(), dtype=np.int64)
    flat = np.asarray(pc.list_flatten(lists).to_pandas(), dtype=np.int64)
    ends = np.cumsum(lengths)
    sums = np.concatenate([[0], np.cumsum(flat)])
    return lengths, sums[ends] - sums[ends - lengths]


def content_hash(head: bytes, table: pa.Table) -> str:
    """Return a SHA-256 of a table, the same for every partition into chunks.

    Args:
        head: What is said with it.
        table: Columns of text, integers, booleans, or lists of them.
    """
    parts: defaultdict[str, Any] = defaultdict(hashlib.sha256)
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks:
            _feed(parts, name, chunk)
    whole = hashlib.sha256(head)
    for name, part in sorted(parts.items()):
        whole.update(f"\n{name} {part.hexdigest()}".encode())
    return whole.hexdigest()


def _feed(parts: defaultdict[str, Any], name: str, array: pa.Array) -> None:
    parts[f"{name}: known"].update(array.is_valid().cast(pa.uint8()).to_numpy())
    if pa.types.is_list(array.type):
        parts[f"{name}: lengths"].update(pc.list_value_length(array).fill_null(0).to_numpy())
        _feed(parts, f"{name}: items", array.flatten())
    elif pa.types.is_string(array.type):
        array = array.fill_null("")
        _, offsets, letters = array.buffers()
        ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
        parts[f"{name}: lengths"].update(np.diff(ends))
        parts[f"{name}: letters"].update((letters or pa.py_buffer(b""))[ends[0] : ends[-1]])
    else:
        numbers = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
        parts[f"{name}: numbers"].update(numbers.cast(pa.int64()).to_numpy())


def json_rows(table: pd.DataFrame) -> Iterator[pa.Buffer]:
    r"""Yield the rows in order of `sample_id` as JSON arrays, each after a `\n`, many at a time.

    They are byte by byte those of `json.dumps(row, separators=(",", ":"))`.

    Args:
        table: A normalised table.
    """
    order = np.argsort(table["sample_id"].to_numpy(dtype=object), kind="stable")
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = table.iloc[order[start : start + _ROWS_AT_ONCE]]
        cells = [_json(rows[name].tolist()) for name in rows.columns]
        lines = pc.binary_join_element_wise(*cells, ",")
        whole = pc.binary_join_element_wise("\n[", lines, "]", "")
        # As one list of all lines, so that they become one text.
        ends = pa.array([0, len(whole)], pa.int32())
        yield pc.binary_join(pa.ListArray.from_arrays(ends, whole), "")[0].as_buffer()


def _json(values: list[Any]) -> pa.Array:
    """Return each value of a column as JSON."""
    first = values[0]
    if isinstance(first, list):
        return _json_lists(values)
    if isinstance(first, str) or first is None:
        return _json_texts(values)
    return pa.array(values).cast(pa.string())


def _json_texts(values: Sequence[str | None]) -> pa.Array:
    try:
        texts = pa.array(values, pa.string())
        plain = not pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py()
    except UnicodeEncodeError:
        plain = False
    if not plain:
        return pa.array([json.dumps(value) for value in values], pa.string())
    return pc.binary_join_element_wise('"', texts, '"', "").fill_null("null")


def _json_lists(lists: list[list[Any]]) -> pa.Array:
    flat = [item for value in lists for item in value]
    if flat and not isinstance(flat[0], str):
        items = pa.array(flat, pa.int64()).cast(pa.string())
    else:
        items = _json_texts(flat)
    ends = np.concatenate([[0], np.cumsum(list(map(len, lists)))])
    listed = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), items), ",")
    return pc.binary_join_element_wise("[", listed, "]", "")
