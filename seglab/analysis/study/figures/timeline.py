"""When each worker worked on which trial: a Gantt chart, pauses of the whole study cut short."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from seglab.analysis.study.attempts import LOST, listed
from seglab.analysis.study.figures.chart import Axis, Bars, Chart, Curve, Gap, Layer, Panel
from seglab.analysis.study.figures.figure import study_figure
from seglab.analysis.study.idle import IdleShare, idle_share
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import COLOURS, Floats, NotDrawableError, heading
from seglab.analysis.style import INK, Look
from seglab.analysis.times import format_runtime
from seglab.core.text.wording import plural

_NAMES = {
    "finished": "finished",
    "pruned": "pruned",
    "failed": "failed",
    "running": "running",
    LOST: "broken off, taken up again",
}
_UNITS = ((7200.0, 3600.0, "hours"), (300.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
_PAUSE_SHARE = 0.2
_MAX_ROWS = 32
# More workers than this have no words in their rows.
_MAX_WRITTEN = 24


@dataclass(frozen=True)
class Clock:
    """Time since the study's first start, with pauses in which nobody worked cut short.

    Attributes:
        start: Unix seconds of the first start.
        pauses: Start and end (seconds since the first start) of each pause.
        stub: Seconds that stand in for a pause.
    """

    start: float
    pauses: tuple[tuple[float, float], ...]
    stub: float

    def place(self, moments: Sequence[float] | Floats | pd.Series) -> Floats:
        """Return where unix times lie, in seconds from the first start."""
        since = np.asarray(moments, dtype=np.float64) - self.start
        cut = np.zeros_like(since)
        for begin, end in self.pauses:
            inside = np.clip(since - begin, 0.0, end - begin)
            cut += inside * (1 - self.stub / (end - begin))
        return since - cut


def study_clock(attempts: pd.DataFrame) -> Clock:
    """Return the time axis of a study: gaps in which no trial ran are pauses when they are long.

    Long is more than a fifth of the time in which trials ran, and more than a minute.
    """
    start = float(attempts["started"].min())
    gaps, busy, until = [], 0.0, start
    for row in sorted(listed(attempts), key=lambda one: one.started):
        if row.started > until:
            gaps.append((until - start, row.started - start))
        busy += max(0.0, row.ended - max(until, row.started))
        until = max(until, row.ended)
    limit = max(60.0, _PAUSE_SHARE * busy)
    pauses = tuple((begin, end) for begin, end in gaps if end - begin > limit)
    return Clock(start, pauses, 0.03 * max(busy, 1.0))


@study_figure(
    "timeline",
    "Timeline of the workers",
    "White between the bars of a worker is idle time; right of the dotted line there was nothing left "
    "to start.",
    of="all",
)
def timeline_figure(view: StudyView) -> Chart:
    """Draw one row per worker, one bar a start of a trial, coloured by how it ended.

    At the right stands each worker's idle share while trials waited; the title has that of all.

    Raises:
        NotDrawableError: No trial was started.
    """
    attempts = view.attempts
    if attempts.empty:
        raise NotDrawableError("no trial was started")
    lanes = sorted(attempts["lane"].unique(), key=natural_order)
    clock, idle = study_clock(attempts), idle_share(attempts, view.budget, view.alive)
    length = max(float(clock.place([attempts["ended"].max()])[0]), 1e-9)
    unit, unit_name = next((size, name) for least, size, name in _UNITS if length >= least)
    readable = len(lanes) <= _MAX_WRITTEN
    last_start = float(attempts.groupby("number")["started"].min().max())
    at = float(clock.place([last_start])[0]) / unit
    layers: list[Layer] = []
    for begin, end in clock.pauses:
        left, right = clock.place([clock.start + begin, clock.start + end]) / unit
        layers.append(Gap(left, right, f"pause\n{format_runtime(end - begin)}"))
    layers += _bars(attempts, lanes, clock, unit, readable)
    rule = (-0.6, len(lanes) - 0.4)
    layers.append(
        Curve([at, at], rule, width=1.0, label="last trial started", dashed=True, above=4)
    )
    cut = ", pauses cut short" if clock.pauses else ""
    x = Axis(
        f"{unit_name} since the first start{cut}", (-0.005 * length / unit, 1.005 * length / unit)
    )
    y = Axis("", rule[::-1], [(float(row), lane) for row, lane in enumerate(lanes)])
    beside = _idle_column(lanes, idle) if readable else []
    height = 0.34 if len(lanes) <= 12 else 4.2 / min(len(lanes), _MAX_ROWS)
    title = heading(view, f"{plural(len(lanes), 'worker')}{_idle_words(idle)}")
    panel = Panel(x, y, layers, beside, rows=True)
    return Chart(title, [panel], (9.0, 1.45 + max(height * len(lanes), 0.5)), legend=7)


def natural_order(name: str) -> list[str | int]:
    """Return what to sort names by so that gpu2 comes before gpu10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _idle_words(idle: IdleShare) -> str:
    if math.isnan(idle.waiting):
        return ""
    waiting, total = (f"{100 * share:.1f} %" for share in (idle.waiting, idle.total))
    return f", idle {waiting} of the time while trials waited, {total} of all"


def _bars(
    attempts: pd.DataFrame, lanes: Sequence[str], clock: Clock, unit: float, readable: bool
) -> list[Bars]:
    starts, ends = clock.place(attempts["started"]) / unit, clock.place(attempts["ended"]) / unit
    longest = max(float(ends.max()), 1e-9)
    # Trials shorter than a line is wide would vanish.
    widths = np.maximum(ends - starts, 0.0008 * longest)
    rows = attempts["lane"].map(lanes.index).to_numpy(float)
    hints, numbers = np.array(_hints(attempts)), attempts["number"].to_numpy()
    names = np.array(
        [
            str(trial) if readable and width > 0.011 * (len(str(trial)) + 0.6) * longest else ""
            for trial, width in zip(numbers, widths, strict=True)
        ]
    )
    found = []
    for outcome, label in _NAMES.items():
        mine = (attempts["outcome"] == outcome).to_numpy()
        if mine.any():
            look: Look = {"names": names[mine].tolist(), "hints": hints[mine].tolist()}
            look["ink"] = "white" if outcome in ("finished", "failed") else INK
            look |= {"numbers": numbers[mine], "hatch": "////" if outcome == LOST else None}
            places, colour = (rows[mine], starts[mine], widths[mine]), COLOURS[outcome]
            found.append(Bars(*places, colour, label, 0.78, **look))
    return found


def _hints(attempts: pd.DataFrame) -> list[str]:
    return [
        f"start {row.attempt}: {datetime.fromtimestamp(row.started, UTC):%Y-%m-%d %H:%M:%S} UTC, "
        f"{row.ended - row.started:.1f} s"
        for row in listed(attempts)
    ]


def _idle_column(lanes: Sequence[str], idle: IdleShare) -> list[tuple[float, str]]:
    shares = idle.table.set_index("lane")["idle_waiting"].reindex(list(lanes))
    return [
        (float(row), f"{100 * share:.1f} % idle")
        for row, share in enumerate(shares)
        if not math.isnan(share)
    ]
