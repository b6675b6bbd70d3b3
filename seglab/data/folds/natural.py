"""Names in the order that people read them in: `f9` before `f10`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DIGITS = re.compile(r"([0-9]+)")
_ZERO, _NINE = ord("0"), ord("9")
# Longer numbers, and letters below the mark that stands before a number, are left to Python.
_MOST_DIGITS, _MARK = 40, 1


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that takes digits as numbers: `f9` comes before `f10`."""
    parts = _DIGITS.split(name)
    # Text and digits alternate and text comes first, so only like is compared with like.
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name


def natural_order(names: Sequence[str]) -> np.ndarray:
    """Return the places of names in order of `natural_key`, int64 `(N,)`."""
    try:
        texts = pa.array(names, pa.large_string())
        keys = _padded(texts)
    except UnicodeEncodeError:
        keys = None
    if keys is None:
        return np.array(sorted(range(len(names)), key=lambda place: natural_key(names[place])), int)
    # The name itself tells apart what is the same number, such as 1 and 01.
    both = pa.table({"key": keys, "name": texts})
    order = pc.sort_indices(both, sort_keys=[("key", "ascending"), ("name", "ascending")])
    return order.to_numpy().astype(np.int64)


def _padded(texts: pa.Array) -> pa.Array | None:
    """Return the texts with a mark and zeros before each number, so that all are of one width.

    As bytes they are in natural order: the mark comes before every letter, and in UTF-8 letters keep the
    order of their numbers. None where a text holds such a mark, or a very long number.
    """
    _, ends, letters = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[: len(texts) + 1]
    data = np.frombuffer(letters or b"", np.uint8)[: offsets[-1]]
    digit = (data >= _ZERO) & (data <= _NINE)
    starts, stops = _runs(digit, offsets)
    missing = (stops - starts).max(initial=0) - (stops - starts)
    if (data <= _MARK).any() or missing.max(initial=0) > _MOST_DIGITS:
        return None
    added = np.zeros(len(data) + 1, dtype=np.int64)
    added[starts] = missing + 1
    shift = np.cumsum(added)
    places = np.arange(len(data)) + shift[:-1]
    padded = np.full(len(data) + int(shift[-1]), _ZERO, dtype=np.uint8)
    padded[places] = data
    padded[places[starts] - missing - 1] = _MARK
    moved = offsets + (shift - added)[offsets]
    buffers = [None, pa.py_buffer(moved), pa.py_buffer(padded)]
    return pa.Array.from_buffers(pa.large_binary(), len(texts), buffers)


def _runs(digit: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of digits start and stop; none goes on from one text into the next."""
    cut = np.zeros(len(digit) + 1, dtype=bool)
    cut[offsets] = True
    before = np.concatenate([[False], digit])[:-1] & ~cut[:-1]
    after = np.concatenate([digit, [False]])[1:] & ~cut[1:]
    return np.flatnonzero(digit & ~before), np.flatnonzero(digit & ~after) + 1
