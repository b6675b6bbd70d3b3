"""Inline SVG: elements whose text is always escaped, axes with round ticks, an empty frame.

Charts are drawn here rather than by matplotlib, whose SVG brings its own colours, fonts and ids for
each figure: these take colours from the style sheet, so one drawing serves light, dark and print,
and weigh less than half as much (4 curves over 60 epochs: 8 kB with the values that the pointer
reads, against 17 kB without them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import LogLocator, MaxNLocator

# Colours in the style sheet (.s0 ... .s7), then the same with other dashes.
NUM_COLOURS = 8
NUM_SLOTS = 3 * NUM_COLOURS


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; text and attribute values are escaped, attributes that are None left out.

    >>> str(tag("text", "a < b", class_="tick", text_anchor="end"))
    '<text class="tick" text-anchor="end">a &lt; b</text>'
    """
    pairs = (
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _rounded(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup("").join(pairs), inner)  # noqa: S704 - names are ours


def circle(x: float, y: float, r: float, css: str, tip: str) -> Markup:
    """Return a dot that says what it is when the pointer rests on it."""
    return tag("circle", tag("title", tip), class_=css, cx=float(x), cy=float(y), r=r)


def text(x: float, y: float, words: object, css: str, anchor: str | None = None) -> Markup:
    """Return words; `anchor` is the end of them that lies at x, by default the start."""
    return tag("text", words, class_=css, x=float(x), y=float(y), text_anchor=anchor)


def segment(css: str, x: tuple[float, float], y: tuple[float, float]) -> Markup:
    """Return a straight line between two points."""
    return tag("line", class_=css, x1=float(x[0]), x2=float(x[1]), y1=float(y[0]), y2=float(y[1]))


def _rounded(value: object) -> object:
    """Return coordinates to a tenth of a unit: finer is not seen and weighs."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def series_class(slot: int) -> str:
    """Return the style class of a colour and dash; slots beyond the last begin again."""
    return f"s{slot % NUM_COLOURS} d{slot // NUM_COLOURS % 3}"


@dataclass(frozen=True)
class Axis:
    """A range of values with round ticks in it.

    Args:
        low: Value at the start.
        high: Value at the end; above `low`.
        ticks: Values with a line and a number.
        log: Distances are ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    @classmethod
    def around(
        cls,
        values: Sequence[float] | np.ndarray,
        *,
        floor: float | None = None,
        ceiling: float | None = None,
        whole: bool = False,
        count: int = 5,
    ) -> Axis:
        """Return an axis whose ticks enclose all finite values.

        Args:
            values: May be empty; then 0..1.
            floor: The axis begins there, or lower if a value does.
            ceiling: The axis ends there, or higher if a value does.
            whole: Only whole numbers become ticks, and the ends are those of the values.
            count: About so many ticks.
        """
        array = np.asarray(values, dtype=np.float64)
        array = array[np.isfinite(array)]
        low = float(array.min()) if array.size else 0.0
        high = float(array.max()) if array.size else 1.0
        low = low if floor is None else min(low, floor)
        high = high if ceiling is None else max(high, ceiling)
        if high <= low:
            low, high = low - 0.5, high + 0.5
        locator = MaxNLocator(count, integer=whole, steps=[1, 2, 2.5, 5, 10])
        ticks = [float(tick) for tick in locator.tick_values(low, high)]
        if whole:
            inside = tuple(tick for tick in ticks if low <= tick <= high)
            return cls(low, high, inside)
        # An end that was asked for (0 and 1 of a score) stays; the others move out to a tick.
        start = low if floor is not None and low == floor else ticks[0]
        end = high if ceiling is not None and high == ceiling else ticks[-1]
        return cls(start, end, tuple(t for t in ticks if start - 1e-9 <= t <= end + 1e-9))

    @classmethod
    def logarithmic(cls, values: Sequence[float] | np.ndarray) -> Axis:
        """Return an axis of powers of ten around positive values."""
        array = np.asarray(values, dtype=np.float64)
        low, high = float(array.min()), float(array.max())
        ticks = [float(tick) for tick in LogLocator(numticks=6).tick_values(low, high)]
        low, high = min(low, high / 10), max(high, low * 10)
        return cls(low, high, tuple(tick for tick in ticks if low <= tick <= high), log=True)

    def place(self, values: Sequence[float] | np.ndarray, start: float, end: float) -> np.ndarray:
        """Return where values lie between the coordinates `start` and `end`."""
        array = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            array, low, high = np.log10(array), np.log10(low), np.log10(high)
        return np.asarray(start + (array - low) / (high - low) * (end - start))


@dataclass(frozen=True)
class Box:
    """The inside of a chart in the units of its view box."""

    left: float
    top: float
    right: float
    bottom: float


def number(value: float, digits: int = 3) -> str:
    """Return a number for a tick or a tip: no more digits than say something."""
    return f"{value:.{digits}g}" if abs(value) < 1e4 else f"{value:,.0f}"


def axes(box: Box, x: Axis, y: Axis, x_label: str = "", y_label: str = "") -> Markup:
    """Return grid lines, numbers at the ticks and the names of both axes."""
    parts = []
    for value, at in zip(y.ticks, y.place(y.ticks, box.bottom, box.top), strict=True):
        parts.append(segment("grid", (box.left, box.right), (at, at)))
        parts.append(text(box.left - 6, at + 3.5, number(value), "tick", "end"))
    parts.append(x_ticks(box, x))
    if x_label:
        parts.append(axis_name(box, x_label))
    if y_label:
        parts.append(text(2, 11, y_label, "name"))
    return Markup("").join(parts)


def axis_name(box: Box, words: str) -> Markup:
    """Return the name of the x axis, below its numbers."""
    return text((box.left + box.right) / 2, box.bottom + 31, words, "name", "middle")


def x_ticks(box: Box, x: Axis, grid: bool = False) -> Markup:
    """Return the numbers below a chart, with lines up through it where `grid`."""
    parts = [segment("base", (box.left, box.right), (box.bottom, box.bottom))]
    for value, at in zip(x.ticks, x.place(x.ticks, box.left, box.right), strict=True):
        if grid:
            parts.append(segment("grid", (at, at), (box.top, box.bottom)))
        parts.append(text(at, box.bottom + 15, number(value), "tick", "middle"))
    return Markup("").join(parts)


def drawing(
    width: float, height: float, description: str, *parts: object, **data: object
) -> Markup:
    """Return the whole SVG; a screen reader reads the description in its place."""
    return tag(
        "svg",
        tag("title", description),
        *parts,
        class_="chart",
        role="img",
        viewBox=f"0 0 {width:g} {height:g}",
        aria_label=description,
        **{f"data_{name}": value for name, value in data.items()},
    )


def path(x: np.ndarray, y: np.ndarray, **attributes: object) -> Markup:
    """Return a line through points."""
    points = " L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    return tag("path", d=f"M{points}", **attributes)
