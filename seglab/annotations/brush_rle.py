"""The bit stream of brush strokes in Label Studio.

Length in values (32 bits), size of a value less one (5), four sizes of run lengths less one (4 each);
then runs: a bit whether one value is repeated, which size of length (2), length less one, and the
value or the values. The values are those of an RGBA picture, row by row; the mask is its alpha.

References:
    Label Studio SDK, `converter/brush.py`: https://github.com/HumanSignal/label-studio-sdk
    Schmidt, rle-pack: https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.core.errors import DataError

_CHANNELS = 4
_SIZES = (3, 4, 8, 16)
_WORD = 8


class _Bits:
    """Reads numbers of up to 32 bits from the start of a byte string on."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def _advance(self, count: int) -> int:
        start = self.place
        self.place += count
        if self.place > 8 * len(self._content):
            raise DataError("the brush ends before its last run")
        return start

    def read(self, count: int) -> int:
        start = self._advance(count)
        part = self._content[start // 8 : (self.place + 7) // 8]
        return int.from_bytes(part) >> (-self.place % 8) & ((1 << count) - 1)

    def are_set(self, number: int, size: int) -> np.ndarray:
        """Read values; return which of them are not 0, boolean `(number,)`."""
        start = self._advance(number * size)
        part = self._content[start // 8 : (self.place + 7) // 8]
        bits = np.unpackbits(np.frombuffer(part, np.uint8))[start % 8 :][: number * size]
        found: np.ndarray = np.any(bits.reshape(number, size), axis=1)
        return found


def decode_brush(content: Sequence[int], height: int, width: int) -> np.ndarray:
    """Return the mask of a brush, boolean `(height, width)`.

    Raises:
        DataError: It is not of this size, ends early, or a run reaches beyond its end.
    """
    try:
        bits = _Bits(bytes(content))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError("expected a brush as a list of bytes") from error
    number = bits.read(32)
    if number != height * width * _CHANNELS:
        raise DataError(
            f"a brush of {number:,} values; {height} x {width} pixels (H x W) have "
            f"{height * width * _CHANNELS:,}"
        )
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(number, bool)
    place = 0
    while place < number:
        is_repeated = bits.read(1)
        end = place + 1 + bits.read(sizes[bits.read(2)])
        if end > number:
            raise DataError("a run of the brush reaches beyond its end")
        values[place:end] = bits.read(word) != 0 if is_repeated else bits.are_set(end - place, word)
        place = end
    return values.reshape(height, width, _CHANNELS)[..., _CHANNELS - 1]


def encode_brush(mask: np.ndarray) -> list[int]:
    """Return a boolean mask `(H, W)` as a brush, the same bytes as Label Studio's converter writes."""
    flat = mask.reshape(-1)
    words = [f"{flat.size * _CHANNELS:032b}{_WORD - 1:05b}", *(f"{one - 1:04b}" for one in _SIZES)]
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    for start, length in zip(bounds[:-1].tolist(), np.diff(bounds).tolist(), strict=True):
        value = "1" * _WORD if flat[start] else "0" * _WORD
        left = length * _CHANNELS
        while left:
            run = min(left, 1 << _SIZES[-1])
            choice = next(place for place, size in enumerate(_SIZES) if run <= 1 << size)
            words.append(f"1{choice:02b}{run - 1:0{_SIZES[choice]}b}{value}")
            left -= run
    text = "".join(words)
    # A last byte of zeros where none is needed, as the converter does.
    text += "0" * (8 - len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8))
