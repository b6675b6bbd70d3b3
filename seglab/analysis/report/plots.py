"""The charts of a report: curves, intervals, boxes, reliability. Each is one inline SVG.

All are drawn at the width of a phone and grow a little from there, so their text stays readable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from seglab.analysis.report import svg
from seglab.analysis.report.svg import (
    Axis,
    Box,
    circle,
    drawing,
    path,
    segment,
    series_class,
    tag,
    text,
)

WIDTH, HEIGHT = 360.0, 230.0
_BOX = Box(left=40.0, top=26.0, right=350.0, bottom=190.0)
# Half the height of the ends of an interval, pixels: above the mark's radius.
_CAP = 6.5
_ROW = 24.0
_NAME_CHARS, _END_CHARS = 19, 7


@dataclass(frozen=True)
class Line:
    """One curve: finite values in order of x; `slot` is its colour and dash throughout the page."""

    label: str
    x: np.ndarray
    y: np.ndarray
    slot: int = 0
    best: int | None = None


@dataclass(frozen=True)
class Spread:
    """One row of a chart of intervals or boxes.

    Args:
        label: At the left.
        middle: Where the mark is; NaN leaves the row empty.
        low: Start of the interval; NaN: none.
        high: End of it.
        points: Single values shown as dots, their quartiles as a box; may be empty.
        slot: Colour.
    """

    label: str
    middle: float
    low: float = float("nan")
    high: float = float("nan")
    points: tuple[float, ...] = ()
    slot: int = 0


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading; the legend tells the style class of each label."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


def legend_of(lines: Sequence[Line]) -> tuple[tuple[str, str], ...]:
    """Return label and style class of each curve."""
    return tuple((line.label, series_class(line.slot)) for line in lines if len(line.x))


def together(values: Iterable[np.ndarray]) -> np.ndarray:
    """Return the values of all curves, to lay an axis around."""
    return np.concatenate([np.empty(0), *values])


def line_chart(
    lines: Sequence[Line],
    description: str,
    x_label: str,
    y_label: str,
    *,
    x: Axis | None = None,
    y: Axis | None = None,
) -> Markup:
    """Draw curves over one pair of axes; the points go along as data for the reader's pointer.

    Args:
        lines: Those without a point are left out.
        description: What a screen reader says in place of the chart.
        x_label: Below the axis.
        y_label: Above the axis.
        x: By default whole numbers around all points.
        y: By default around all points.
    """
    lines = [line for line in lines if len(line.x)]
    x = x or Axis.around(together(line.x for line in lines), whole=True, count=6)
    y = y or Axis.around(together(line.y for line in lines))
    parts = [svg.axes(_BOX, x, y, x_label, y_label)]
    for line in lines:
        across = x.place(line.x, _BOX.left, _BOX.right)
        # A loss that explodes leaves the axis; the line follows its edge.
        up = np.clip(y.place(line.y, _BOX.bottom, _BOX.top), _BOX.top - 4, _BOX.bottom + 4)
        shown = series_class(line.slot)
        parts.append(path(across, up, class_=f"line {shown}"))
        mark = line.best if line.best is not None else (0 if len(line.x) == 1 else None)
        if mark is not None:
            tip = f"{line.label}: {svg.number(line.y[mark], 4)} at {x_label} {svg.number(line.x[mark])}"
            parts.append(circle(across[mark], up[mark], 3.6, f"mark {shown}", tip))
    return drawing(WIDTH, HEIGHT, description, *parts, chart=_pointer_data(lines, x, y, x_label))


def _pointer_data(lines: Sequence[Line], x: Axis, y: Axis, x_label: str) -> str:
    """Return what the script needs to read values off the chart, as JSON."""
    return json.dumps(
        {
            "box": [_BOX.left, _BOX.top, _BOX.right, _BOX.bottom],
            "x": [x.low, x.high],
            "y": [y.low, y.high],
            "log": y.log,
            "name": x_label,
            "lines": [
                {
                    "label": line.label,
                    "class": series_class(line.slot),
                    "points": [[_short(a), _short(b)] for a, b in zip(line.x, line.y, strict=True)],
                }
                for line in lines
            ],
        },
        separators=(",", ":"),
    )


def _short(value: float) -> float | int:
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def spread_chart(
    rows: Sequence[Spread], description: str, x_label: str, *, axis: Axis | None = None
) -> Markup:
    """Draw one row a thing: a mark with its interval, or dots with the box of their quartiles."""
    values = [value for row in rows for value in (row.middle, row.low, row.high, *row.points)]
    axis = axis or Axis.around(values)
    box = Box(left=126.0, top=8.0, right=346.0, bottom=14.0 + _ROW * len(rows))
    parts = [svg.x_ticks(box, axis, grid=True)]
    for index, row in enumerate(rows):
        parts.append(_spread(row, axis, box, box.top + _ROW * (index + 0.5) + 3))
    parts.append(svg.axis_name(box, x_label))
    return drawing(WIDTH, box.bottom + 38, description, *parts)


def _spread(row: Spread, axis: Axis, box: Box, y: float) -> Markup:
    def at(value: float) -> float:
        return float(axis.place([value], box.left, box.right)[0])

    shown = series_class(row.slot)
    # The end stays: runs of one experiment differ in nothing else.
    end = row.label[-_END_CHARS:]
    cut = f"{row.label[: _NAME_CHARS - _END_CHARS - 1]}…{end}"
    name = row.label if len(row.label) <= _NAME_CHARS else cut
    parts = [text(box.left - 8, y + 4, tag("title", row.label) + name, "row", "end")]
    points = np.array([value for value in row.points if np.isfinite(value)])
    if points.size >= 3:
        low, middle, high = (at(float(q)) for q in np.percentile(points, [25, 50, 75]))
        width = max(high - low, 0.5)
        parts.append(tag("rect", class_=f"box {shown}", x=low, width=width, y=y - 7, height=14))
        parts.append(segment(f"middle {shown}", (middle, middle), (y - 7, y + 7)))
    if np.isfinite(row.low) and np.isfinite(row.high):
        parts.append(segment(f"whisker {shown}", (at(row.low), at(row.high)), (y, y)))
        # An interval that is shorter than its mark still shows.
        parts += [
            segment(f"whisker {shown}", (at(bound), at(bound)), (y - _CAP, y + _CAP))
            for bound in (row.low, row.high)
        ]
    parts += [
        circle(at(float(value)), y, 3, f"dot {shown}", f"{row.label}: {value:.3f}")
        for value in points
    ]
    if np.isfinite(row.middle):
        between = f" [{row.low:.3f}, {row.high:.3f}]" if np.isfinite(row.low) else ""
        tip = f"{row.label}: {row.middle:.3f}{between}"
        parts.append(circle(at(row.middle), y, 4.5, f"mark {shown}", tip))
    return tag("g", *parts)


@dataclass(frozen=True)
class Bins:
    """Pixels sorted into bins of confidence.

    Args:
        low: Start of each bin.
        high: End of each.
        count: Pixels in each; empty bins are left out.
        confidence: Mean in each.
        accuracy: Mean in each.
    """

    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability_chart(bins: Bins, description: str, slot: int = 0) -> Markup:
    """Draw accuracy against confidence, with the shares of pixels as bars at the bottom.

    Args:
        bins: In order of confidence.
        description: What a screen reader says in place of the chart.
        slot: Colour and dash.
    """
    shown = series_class(slot)
    unit = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    parts = [svg.axes(_BOX, unit, unit, "confidence", "accuracy")]
    share = bins.count / max(1.0, float(bins.count.sum()))
    across = [unit.place(edge, _BOX.left, _BOX.right) for edge in (bins.low, bins.high)]
    for start, end, part in zip(*across, share, strict=True):
        # Bars take a third of the height, so that they stay below the line they explain.
        size = float(part) * (_BOX.bottom - _BOX.top) / 3
        place = {"x": float(start) + 0.5, "width": max(0.5, float(end - start) - 1)}
        title = tag("title", f"{part:.1%} of pixels")
        parts.append(tag("rect", title, class_="bar", **place, y=_BOX.bottom - size, height=size))
    ends = np.array([_BOX.left, _BOX.right]), np.array([_BOX.bottom, _BOX.top])
    parts.append(path(*ends, class_="diagonal"))
    used = (bins.count > 0) & np.isfinite(bins.confidence) & np.isfinite(bins.accuracy)
    line = Line("accuracy", bins.confidence[used], bins.accuracy[used])
    if used.any():
        x = unit.place(line.x, _BOX.left, _BOX.right)
        y = unit.place(line.y, _BOX.bottom, _BOX.top)
        parts.append(path(x, y, class_=f"line {shown}"))
        parts += [
            circle(at, up, 3, f"mark {shown}", f"confidence {a:.3f}, accuracy {b:.3f}")
            for a, b, at, up in zip(line.x, line.y, x, y, strict=True)
        ]
    return drawing(WIDTH, HEIGHT, description, *parts)
