"""Class scores of a large image, band by band, as the loader gives them for the whole.

Windows lie where the loader has them: they depend on the size of the image alone. An upright strip of
columns is gone down at a time, so that what is held is a window high and a strip wide, whatever the image.
Windows across the border of two strips are predicted for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from seglab.bundle.loader import FLIPS, Bundle, argmax, bell, pad, softmax, window_starts

# Floats of class scores that all views together hold of a strip, and of a band.
_MOST_HELD, _MOST_BAND = 80 << 20, 6 << 20
# Returns raw values, `(rows, columns, channels)`.
Part = Callable[[slice, slice], np.ndarray]


class Band(NamedTuple):
    """A part of the image.

    Attributes:
        rows: Where it is.
        columns: Likewise.
        mask: uint8 `(H, W)`, class indices.
        probabilities: float32 `(classes, H, W)`; None where nobody asked for them.
    """

    rows: slice
    columns: slice
    mask: np.ndarray
    probabilities: np.ndarray | None


class Layout(NamedTuple):
    """How a large image is predicted.

    Attributes:
        size: (H, W) of what comes out.
        source: (H, W) of what the network sees at scale 1.
        window: (H, W) of a window.
        overlap: Least share of a window that its neighbour sees too.
    """

    size: tuple[int, int]
    source: tuple[int, int]
    window: tuple[int, int]
    overlap: float


class _View:
    """The logits of one network, scale and mirroring in a strip, from top to bottom."""

    def __init__(
        self,
        bundle: Bundle,
        part: Part,
        layout: Layout,
        how: tuple[int, float, tuple[int, ...]],
        strip: tuple[int, int],
    ) -> None:
        self._bundle, self._part, self._layout = bundle, part, layout
        self._net, scale, self._flip = how
        self._size = tuple(max(1, round(side * scale)) for side in layout.source)
        self._strip = strip
        self._columns = _needed(*strip, self._size[1], layout.size[1])
        starts = [
            window_starts(max(side, window), window, layout.overlap)
            for side, window in zip(self._size, layout.window, strict=True)
        ]
        rows, columns = ([self._upright(start, axis) for start in starts[axis]] for axis in (0, 1))
        self._waiting = sorted(rows, key=lambda span: span[0])
        first, last = self._columns
        self._lefts = [one for one in columns if one[0] < last and one[1] > first]
        tall, wide = layout.window
        self._weight = bell(tall)[:, None] * bell(wide)
        self._base = 0
        self._sums = np.zeros((len(bundle.class_names), 0, last - first), np.float32)
        self._total = np.zeros((0, last - first), np.float32)

    def logits(self, top: int, end: int) -> np.ndarray:
        """Return `(classes, rows, columns)` of rows of the output; rows above are let go."""
        first, last = _needed(top, end, self._size[0], self._layout.size[0])
        while self._waiting and self._waiting[0][0] < last:
            self._add(self._waiting.pop(0))
        done = first - self._base
        self._sums, self._total = self._sums[:, done:].copy(), self._total[done:].copy()
        self._base = first
        blended = self._sums[:, : last - first] / self._total[: last - first]
        rows = _resized(blended, -2, self._size[0], self._layout.size[0], (top, end), first)
        return _resized(
            rows, -1, self._size[1], self._layout.size[1], self._strip, self._columns[0]
        )

    def _upright(self, start: int, axis: int) -> tuple[int, int]:
        """Return from where to where the image reaches in a window, in the upright image."""
        side = self._size[axis]
        end = min(start + self._layout.window[axis], side)
        return (side - end, side - start) if axis - 2 in self._flip else (start, end)

    def _add(self, rows: tuple[int, int]) -> None:
        """Predict the windows of one height."""
        missing = rows[1] - self._base - self._sums.shape[1]
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, missing), (0, 0)))
            self._total = np.pad(self._total, ((0, missing), (0, 0)))
        first, last = self._columns
        for columns in self._lefts:
            block, weight = self._window(rows, columns)
            start, end = max(columns[0], first), min(columns[1], last)
            inside = slice(start - columns[0], end - columns[0])
            area = np.s_[
                ..., rows[0] - self._base : rows[1] - self._base, start - first : end - first
            ]
            self._sums[area] += block[..., inside]
            self._total[area] += weight[..., inside]

    def _window(
        self, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted logits of a window and the weights, where the image reaches."""
        image = self._scaled(rows, columns)[None]
        tall, wide = self._layout.window
        height, width = image.shape[2:]
        batch = pad(np.flip(image, self._flip), tall, wide)
        logits, _ = self._bundle.run_padded(batch, self._net)
        weight = self._weight[:height, :width]
        weighted = logits[0, :, :height, :width] * weight
        return np.flip(weighted, self._flip), np.flip(weight, self._flip)

    def _scaled(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """Return raw values of a part of the scaled image, float32 `(channels, rows, columns)`."""
        spans, sides = (rows, columns), self._layout.source
        held = [
            _needed(*span, side, scaled)
            for span, side, scaled in zip(spans, sides, self._size, strict=True)
        ]
        values = self._part(slice(*held[0]), slice(*held[1]))
        planes = np.moveaxis(values, 2, 0).astype(np.float32)
        for axis in (0, 1):
            planes = _resized(
                planes, axis - 2, sides[axis], self._size[axis], spans[axis], held[axis][0]
            )
        return planes


def predict_bands(
    bundle: Bundle, part: Part, layout: Layout, with_probabilities: bool
) -> Iterator[Band]:
    """Yield the image in bands: strips from left to right, each from top to bottom.

    Args:
        bundle: The model, with its views and temperature.
        part: Reads the image.
        layout: Sizes and windows.
        with_probabilities: Whether they are wanted.
    """
    views = bundle.info["predict"]
    flips = ((), *(FLIPS[name] for name in views["flips"]))
    hows = [
        (net, float(scale), flip)
        for net in range(len(bundle.nets))
        for scale in views["scales"]
        for flip in flips
    ]
    height, width = layout.size
    classes = len(bundle.class_names)
    held = sum(2.5 * layout.window[0] / min(1.0, height / layout.source[0]) for _ in hows)
    wide = max(layout.window[1], int(_MOST_HELD / (classes * held)))
    tall = max(1, min(layout.window[0], _MOST_BAND // (classes * min(wide, width))))
    for left in range(0, width, wide):
        strip = (left, min(left + wide, width))
        open_views = [_View(bundle, part, layout, how, strip) for how in hows]
        for top in range(0, height, tall):
            end = min(top + tall, height)
            total: Any = np.float32(0)
            for view in open_views:
                one = view.logits(top, end)[None]
                total = one if len(hows) == 1 else total + softmax(one)
            probabilities = None
            if with_probabilities:
                logits = total if len(hows) == 1 else np.log(np.maximum(total, 1e-38))
                probabilities = softmax(logits / np.float32(bundle.info["temperature"]))[0]
            yield Band(slice(top, end), slice(*strip), argmax(total)[0], probabilities)


def _at(start: int, end: int, old: int, new: int) -> np.ndarray:
    """Return where pixels of a resized side lie on the old one, as `loader.resize` has it."""
    return np.clip((np.arange(start, end) + 0.5) * (old / new) - 0.5, 0, old - 1)


def _needed(start: int, end: int, old: int, new: int) -> tuple[int, int]:
    """Return which pixels of the old side those of the new one are made of."""
    if old == new:
        return start, end
    at = _at(start, end, old, new)
    return int(at[0]), min(int(at[-1]) + 1, old - 1) + 1


def _resized(
    planes: np.ndarray, axis: int, old: int, new: int, span: tuple[int, int], first: int
) -> np.ndarray:
    """Return a span of a resized side of `(..., H, W)`, of a part that begins at `first`."""
    if old == new:
        return planes.take(range(span[0] - first, span[1] - first), axis)
    at = _at(*span, old, new)
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == -2 else share
    upper = planes.take(np.minimum(low + 1, old - 1) - first, axis)
    return planes.take(low - first, axis) * (1 - share) + upper * share
