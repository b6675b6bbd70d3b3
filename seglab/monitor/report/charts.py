"""The charts of a period, all over one axis of time."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from seglab.analysis.report import svg
from seglab.analysis.report.plots import Chart, Line, Spread, legend_of, line_chart, spread_chart
from seglab.analysis.report.svg import Axis, Box, circle, drawing, segment, series_class, text
from seglab.monitor.report.period import Period
from seglab.monitor.report.watched import Watched

_UNITS = (
    (86_400.0, 3 * 86_400.0, "days"),
    (3_600.0, 2 * 3_600.0, "hours"),
    (60.0, 120.0, "minutes"),
)
_MOST_CLASSES = 8
_WIDTH, _ROW, _LEFT, _RIGHT = 360.0, 24.0, 126.0, 346.0


def moment(seconds: float) -> str:
    """Return a time as one says it."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"


class Clock(NamedTuple):
    """The axis of time: a unit, from the first moment on."""

    first: float
    last: float

    @property
    def unit(self) -> tuple[float, str]:
        """Seconds of a unit, and its name."""
        span = self.last - self.first
        return next(
            ((size, name) for size, least, name in _UNITS if span >= least), (1.0, "seconds")
        )

    @property
    def label(self) -> str:
        """Below each axis."""
        return f"{self.unit[1]} from {moment(self.first)}"

    def at(self, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return times along the axis."""
        return (np.asarray(times, np.float64) - self.first) / self.unit[0]

    @property
    def axis(self) -> Axis:
        """From the first to the last moment."""
        axis = Axis.around(self.at([self.first, self.last]), floor=0.0)
        return Axis(0.0, float(self.at([self.last])[0]), axis.ticks[:-1] or axis.ticks)


def _lines(clock: Clock, times: np.ndarray, values: Sequence[tuple[str, np.ndarray]]) -> list[Line]:
    known = [np.isfinite(one) for _, one in values]
    return [
        Line(name, clock.at(times[good]), one[good], slot)
        for slot, ((name, one), good) in enumerate(zip(values, known, strict=True))
    ]


def _chart(
    clock: Clock, title: str, lines: list[Line], y_label: str, note: str = "", **more: Axis
) -> Chart:
    axis = more.get("y") or Axis.around(
        np.concatenate([np.zeros(1), *(line.y for line in lines)]), floor=0.0
    )
    drawn = line_chart(lines, f"{title} over time", clock.label, y_label, x=clock.axis, y=axis)
    return Chart(title, drawn, legend_of(lines), note)


def traffic_charts(period: Period, clock: Clock) -> list[Chart]:
    """Return images and failures a minute, latency, and where it is spent."""
    minutes = np.diff(period.edges) / 60
    rates = [("images", period.images / minutes), ("of these failed", period.failed / minutes)]
    latency = [("median", period.latency[0]), ("95 of 100 below", period.latency[1])]
    stages = [("waiting", period.stages[0]), ("in the network", period.stages[1])]
    times = period.middles
    return [
        _chart(clock, "Traffic", _lines(clock, times, rates), "images a minute"),
        _chart(clock, "Latency of requests", _lines(clock, times, latency), "seconds"),
        _chart(clock, "Where the time goes", _lines(clock, times, stages), "seconds, median"),
    ]


def prediction_charts(period: Period, clock: Clock, names: Sequence[str]) -> list[Chart]:
    """Return the shares of the most frequent classes, confidence and entropy."""
    order = np.argsort(-np.nan_to_num(period.shares).mean(1))[:_MOST_CLASSES]
    shares = [(names[one], period.shares[one]) for one in order]
    left_out = len(period.shares) - len(order)
    note = f"The {left_out} rarest classes are left out." if left_out else ""
    unit = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    sure = [("confidence", period.confidence), ("entropy", period.entropy)]
    return [
        _chart(clock, "Shares of classes", _lines(clock, period.middles, shares), "share", note),
        _chart(clock, "How sure it was", _lines(clock, period.middles, sure), "mean", y=unit),
    ]


def drift_chart(watched: Sequence[Watched], clock: Clock) -> Chart | None:
    """Return the largest score of each window over the threshold; None without windows."""
    lines = []
    for slot, one in enumerate(watched):
        if one.timelines:
            times = np.concatenate([line.times for line in one.timelines])
            scores = np.concatenate([line.scores.max(1) for line in one.timelines])
            over = scores / one.threshold
            lines.append(Line(one.label, clock.at(times), over, slot))
    if not lines:
        return None
    ends = np.array([0.0, float(clock.at([clock.last])[0])])
    lines.append(Line("threshold", ends, np.ones(2), 14))
    note = "Above 1 is drift. Each point is a window of the latest images."
    return _chart(clock, "Drift: farthest statistic over threshold", lines, "times threshold", note)


def quality_charts(watched: Sequence[Watched], clock: Clock) -> list[Chart]:
    """Return the estimated mIoU over time, and beside what labels say."""
    lines, rows = [], []
    for slot, one in enumerate(watched):
        of = f" {one.label}" if len(watched) > 1 else ""
        if one.known_miou == one.known_miou:
            rows.append(Spread(f"reference{of}", one.known_miou, slot=slot))
        if one.estimate is not None:
            low, high = one.estimate.interval
            rows.append(Spread(f"estimated{of}", one.estimate.miou, low, high, slot=slot))
        if one.measured is not None:
            found = one.measured.measured
            rows.append(Spread(f"measured{of}", found.miou, *found.interval, slot=slot))
        if one.estimates:
            times = np.array([time for time, _ in one.estimates])
            found_all = [each for _, each in one.estimates]
            ends = [("low", 0), ("high", 1)]
            middle = np.array([each.miou for each in found_all])
            lines.append(Line(f"estimated{of}", clock.at(times), middle, slot))
            lines += [
                Line(
                    f"{name} end of 95 %{of}",
                    clock.at(times),
                    np.array([each.interval[end] for each in found_all]),
                    slot + svg.NUM_COLOURS * (end + 1),
                )
                for name, end in ends
            ]
    charts = []
    if lines:
        doubtful, count = (
            sum(len(each) for each in (getattr(one, name) for one in watched))
            for name in ("doubtful", "estimates")
        )
        note = f"Of {count} estimates {doubtful} are not to be relied on." if doubtful else ""
        charts.append(_chart(clock, "Estimated mIoU", lines, "mIoU", note))
    if rows:
        words = "; ".join(f"{row.label} {row.middle:.3f}" for row in rows)
        drawn = spread_chart(rows, f"mIoU: {words}", "mIoU")
        charts.append(Chart("mIoU and its 95 % interval", drawn))
    return charts


class Bar(NamedTuple):
    """Something that lasted, or happened at moments, on the timeline."""

    label: str
    spans: tuple[tuple[float, float], ...] = ()
    moments: tuple[float, ...] = ()
    slot: int = 0


def timeline_chart(bars: Sequence[Bar], clock: Clock) -> Chart:
    """Return one row for each bar."""
    box = Box(_LEFT, 8.0, _RIGHT, 14.0 + _ROW * len(bars))
    axis, parts = clock.axis, list[Markup]()
    parts.append(svg.x_ticks(box, axis, grid=True))
    for index, bar in enumerate(bars):
        y, shown = box.top + _ROW * (index + 0.5) + 3, series_class(bar.slot)
        parts.append(text(box.left - 8, y + 4, bar.label, "row", "end"))
        for span in bar.spans:
            low, high = axis.place(clock.at(span), box.left, box.right)
            ends = (float(low), float(max(high, low + 1)))
            parts.append(segment(f"whisker {shown}", ends, (y, y)))
        for time in bar.moments:
            place = float(axis.place(clock.at([time]), box.left, box.right)[0])
            parts.append(circle(place, y, 4, f"mark {shown}", f"{bar.label}: {moment(time)}"))
    parts.append(svg.axis_name(box, clock.label))
    words = "; ".join(
        f"{bar.label} from {moment(bar.spans[0][0])}"
        if bar.spans
        else f"{len(bar.moments)} {bar.label}"
        for bar in bars
    )
    return Chart("Versions and alarms", drawing(_WIDTH, box.bottom + 38, words, *parts))
