"""How long workers had nothing to do while trials waited, and at the end of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from seglab.analysis.study.attempts import Attempt, Span, listed, union

_COLUMNS = "lane first last waiting_s idle_waiting_s idle_waiting total_s idle_s idle".split()


@dataclass(frozen=True)
class IdleShare:
    """How much of their time workers had nothing to do.

    Attributes:
        waiting: Share, 0..1, of the time in which trials waited, over all workers: from a worker's
            first start until the last trial of the budget was started. NaN without such a time.
        total: The same until the study's last end, so with the tail in which there is nothing left
            to start.
        table: One row per worker: lane, first and last (unix seconds), waiting_s (time in which
            trials waited), idle_waiting_s, idle_waiting (share), total_s, idle_s, idle (share).
    """

    waiting: float
    total: float
    table: pd.DataFrame


def idle_share(
    attempts: pd.DataFrame, budget: int | None = None, alive: Sequence[Span] | None = None
) -> IdleShare:
    """Measure how long workers were idle.

    A worker that stops while trials wait is idle from then on, whatever the reason.

    Args:
        attempts: From `attempts_table`.
        budget: Trials asked for; while fewer have been started, some wait. None: those started.
        alive: Times in which the study ran; what lies outside (a night between two calls) does not
            count. None: all of the time.
    """
    found = listed(attempts)
    end = max((one.ended for one in found), default=math.nan)
    first_starts: dict[int, float] = {}
    for one in found:
        first_starts[one.number] = min(one.started, first_starts.get(one.number, math.inf))
    all_started = budget is None or len(first_starts) >= budget
    until = max(first_starts.values(), default=math.nan) if all_started else end
    windows = union(alive) if alive is not None else [(-math.inf, math.inf)]
    lanes = sorted({one.lane for one in found})
    rows = [_row([one for one in found if one.lane == lane], until, end, windows) for lane in lanes]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return IdleShare(
        _ratio(table["idle_waiting_s"].sum(), table["waiting_s"].sum()),
        _ratio(table["idle_s"].sum(), table["total_s"].sum()),
        table,
    )


def _row(
    mine: Sequence[Attempt], until: float, end: float, windows: Sequence[Span]
) -> dict[str, str | float]:
    first, last = min(one.started for one in mine), max(one.ended for one in mine)
    busy = union((one.started, one.ended) for one in mine)
    waiting, idle_waiting = _idle(busy, (first, until), windows)
    total, idle = _idle(busy, (first, end), windows)
    return {
        "lane": mine[0].lane,
        "first": first,
        "last": last,
        "waiting_s": waiting,
        "idle_waiting_s": idle_waiting,
        "idle_waiting": _ratio(idle_waiting, waiting),
        "total_s": total,
        "idle_s": idle,
        "idle": _ratio(idle, total),
    }


def _idle(busy: Sequence[Span], window: Span, windows: Sequence[Span]) -> tuple[float, float]:
    """Return how many seconds count, and how many of them are not busy."""
    counted = _cut([window], windows)
    length = _length(counted)
    return length, length - _length(_cut(busy, counted))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else math.nan


def _length(spans: Iterable[Span]) -> float:
    return float(sum(end - start for start, end in spans))


def _cut(spans: Iterable[Span], windows: Sequence[Span]) -> list[Span]:
    """Return the parts of spans that lie within windows."""
    parts = [(max(start, low), min(end, high)) for start, end in spans for low, high in windows]
    return [(start, end) for start, end in parts if end > start]
