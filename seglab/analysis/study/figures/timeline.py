"""When each worker worked on which trial: a Gantt chart, pauses of the whole study cut short."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seglab.analysis.study.attempts import LOST, listed
from seglab.analysis.study.idle import IdleShare, idle_share
from seglab.analysis.study.load import StudyView
from seglab.analysis.study.marks import COLOURS, Floats, NotDrawableError, heading
from seglab.analysis.study.wording import plural
from seglab.analysis.style import INK, MUTED, new_figure, styled

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


def timeline_figure(view: StudyView) -> Figure:
    """Draw one row a worker, one bar a start of a trial, coloured by how it ended.

    At the right stands each worker's idle share while trials waited; the title has that of all.

    Returns:
        A figure 9 inches wide, as high as there are workers.

    Raises:
        NotDrawableError: No trial was started.
    """
    attempts = view.attempts
    if attempts.empty:
        raise NotDrawableError("no trial was started")
    lanes = sorted(attempts["lane"].unique(), key=natural_order)
    clock = study_clock(attempts)
    idle = idle_share(attempts, view.budget, view.alive)
    length = float(clock.place([attempts["ended"].max()])[0])
    unit, unit_name = next((size, name) for least, size, name in _UNITS if length >= least)
    height = 0.34 if len(lanes) <= 12 else 4.2 / min(len(lanes), _MAX_ROWS)
    with styled():
        figure = new_figure(9.0, 1.45 + max(height * len(lanes), 0.5))
        axes = figure.subplots()
        _bars(axes, attempts, lanes, clock, unit)
        last_start = float(attempts.groupby("number")["started"].min().max())
        _marks(axes, clock, last_start, unit)
        axes.set_yticks(range(len(lanes)), lanes, fontsize=8 if len(lanes) <= 24 else 5)
        axes.set_ylim(len(lanes) - 0.4, -0.6)
        axes.set_xlim(-0.005 * length / unit, 1.005 * max(length, 1e-9) / unit)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        cut = ", pauses cut short" if clock.pauses else ""
        axes.set_xlabel(f"{unit_name} since the first start{cut}")
        axes.grid(visible=False, axis="y")
        if len(lanes) <= 24:
            _idle_column(axes, lanes, idle)
        axes.set_title(heading(view, f"{plural(len(lanes), 'worker')}{_idle_words(idle)}"))
        figure.legend(loc="outside lower center", ncols=7)
    return figure


def natural_order(name: str) -> list[str | int]:
    """Return what to sort names by so that gpu2 comes before gpu10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _idle_words(idle: IdleShare) -> str:
    if math.isnan(idle.waiting):
        return ""
    waiting, total = (f"{100 * share:.1f} %" for share in (idle.waiting, idle.total))
    return f", idle {waiting} of the time while trials waited, {total} of all"


def _bars(
    axes: Axes, attempts: pd.DataFrame, lanes: Sequence[str], clock: Clock, unit: float
) -> None:
    rows = {lane: place for place, lane in enumerate(lanes)}
    starts, ends = clock.place(attempts["started"]) / unit, clock.place(attempts["ended"]) / unit
    longest = max(float(ends.max()), 1e-9)
    # Trials shorter than a line is wide would vanish.
    widths = np.maximum(ends - starts, 0.0008 * longest)
    height = attempts["lane"].map(rows)
    for outcome, name in _NAMES.items():
        mine = (attempts["outcome"] == outcome).to_numpy()
        if mine.any():
            axes.barh(
                height[mine],
                widths[mine],
                left=starts[mine],
                height=0.78,
                label=name,
                color=COLOURS[outcome],
                edgecolor="white",
                linewidth=0.5,
                zorder=2,
                hatch="////" if outcome == LOST else None,
            )
    shown = attempts["number"].astype(str)
    for text, place, start, width, outcome in zip(
        shown, height, starts, widths, attempts["outcome"], strict=True
    ):
        if width > 0.011 * (len(text) + 0.6) * longest and len(lanes) <= 24:
            axes.text(
                start + width / 2,
                place,
                text,
                ha="center",
                va="center",
                fontsize=6.5,
                zorder=3,
                color="white" if outcome in ("finished", "failed") else INK,
            )


def _marks(axes: Axes, clock: Clock, last_start: float, unit: float) -> None:
    """Mark pauses, and the moment after which nothing was left to start."""
    for begin, end in clock.pauses:
        left, right = clock.place([clock.start + begin, clock.start + end]) / unit
        axes.axvspan(left, right, color="#f1eee8", zorder=0, linewidth=0)
        axes.annotate(
            f"pause\n{_span(end - begin)}",
            ((left + right) / 2, 0),
            xytext=(0, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.5,
            color=MUTED,
            rotation=90,
        )
    at = float(clock.place([last_start])[0]) / unit
    axes.axvline(at, color=INK, linewidth=1.0, linestyle=":", zorder=4, label="last trial started")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _idle_column(axes: Axes, lanes: Sequence[str], idle: IdleShare) -> None:
    shares = idle.table.set_index("lane")["idle_waiting"]
    for place, lane in enumerate(lanes):
        share = float(shares.get(lane, math.nan))
        text = "" if math.isnan(share) else f"{100 * share:.1f} % idle"
        axes.annotate(
            text,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            fontsize=7,
            color=MUTED,
            annotation_clip=False,
        )
