"""COCO's run-length encoding: runs down the columns, zeros first; as a list, or packed into text.

References:
    COCO API, maskApi.c: https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.core.errors import DataError

# Text holds five bits a character, from "0" on, lowest first; the sixth bit says that more follow.
_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
_LONGEST = 13


def unpack_counts(text: str) -> list[int]:
    """Return the runs that a text holds; from the fourth on it holds differences to two before.

    Raises:
        DataError: It is cut short or holds other characters.
    """
    counts: list[int] = []
    value = place = 0
    for letter in text:
        code = ord(letter) - _FIRST
        if not 0 <= code < 2 * _MORE or place >= _LONGEST:
            raise DataError(f"RLE: {letter!r} in compressed counts")
        value |= (code & 0x1F) << _BITS * place
        place += 1
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << _BITS * place
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = place = 0
    if place:
        raise DataError("RLE: compressed counts end in the middle of a number")
    return counts


def pack_counts(counts: Sequence[int]) -> str:
    """Return runs as text, the same that pycocotools writes."""
    letters = []
    for number, count in enumerate(counts):
        value = int(count - counts[number - 2]) if number > 2 else int(count)
        while True:
            code, value = value & 0x1F, value >> _BITS
            more = value != (-1 if code & _SIGN else 0)
            letters.append(chr(code + (_MORE if more else 0) + _FIRST))
            if not more:
                break
    return "".join(letters)


def decode(counts: Sequence[int], height: int, width: int) -> tuple[int, int, np.ndarray]:
    """Return what runs cover.

    Args:
        counts: Runs of zeros and ones in turn.
        height: Pixels of the whole mask.
        width: Likewise.

    Returns:
        Left and top of the smallest box, and the pixels in it, boolean `(h, w)`; `(0, 0)` in size where
        nothing is covered.

    Raises:
        DataError: The runs do not cover the mask exactly, or are no numbers.
    """
    try:
        runs = np.asarray(counts, dtype=np.int64).reshape(-1)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError("RLE: counts are not whole numbers") from error
    # As Python numbers: a sum of hostile runs must not wrap around.
    if (runs < 0).any() or sum(runs.tolist()) != height * width:
        raise DataError(
            f"RLE: runs cover {sum(runs.tolist()):,} pixels (none may be negative), the mask has "
            f"{height} x {width} (H x W)"
        )
    ends = np.cumsum(runs)
    starts, stops = (ends - runs)[1::2], ends[1::2]
    filled = stops > starts
    starts, stops = starts[filled], stops[filled]
    if not len(starts):
        return 0, 0, np.zeros((0, 0), bool)
    left, right = int(starts[0]) // height, int(stops[-1] - 1) // height + 1
    flips = np.bincount(
        np.concatenate([starts, stops]) - left * height, minlength=(right - left) * height + 1
    )
    columns = (np.cumsum(flips[:-1]) & 1).astype(bool).reshape(-1, height)[: right - left]
    rows = np.flatnonzero(columns.any(0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return left, top, columns[:, top:bottom].T.copy()


def encode(left: int, top: int, bitmap: np.ndarray, height: int, width: int) -> list[int]:
    """Return the runs of a mask `(height, width)` that holds a bitmap `(h, w)` at a place."""
    x, y = np.nonzero(bitmap.T)
    covered = (x + left) * height + y + top
    if not len(covered):
        return [height * width]
    breaks = np.flatnonzero(np.diff(covered) != 1) + 1
    starts = covered[np.concatenate([[0], breaks])]
    stops = covered[np.concatenate([breaks - 1, [len(covered) - 1]])] + 1
    edges = np.stack([starts, stops], 1).reshape(-1)
    runs = np.diff(np.concatenate([[0], edges, [height * width]])).tolist()
    return runs if runs[-1] else runs[:-1]
