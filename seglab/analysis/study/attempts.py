"""Who worked on what, and when: the starts of trials as a table, one row each, and lanes of workers."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from seglab.core.trial import TrialEnd
from seglab.runs.studies.study import ATTEMPTS, ORIGIN
from seglab.runs.studies.study_storage import END_OF

CONTROLLER = "controller:"
STATES = {
    **{state: str(end) for state, end in END_OF.items()},
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
LOST = "lost"
# How an attempt ends whose trial goes on in another.
_BROKEN_OFF = (TrialEnd.DIED, TrialEnd.RELEASED, TrialEnd.ABANDONED, "interrupted")
_NOBODY = "-"

Span = tuple[float, float]


class Attempt(NamedTuple):
    """One start of a trial; a row of `attempts_table`, where the fields are explained."""

    number: int
    attempt: int
    worker: str
    host: str | None
    lane: str
    started: float
    ended: float
    outcome: str
    open: bool
    controller: str | None = None


def attempts_table(
    trials: Iterable[FrozenTrial], study_attrs: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return one row a start of a trial, in order of trial and start.

    Args:
        trials: Of a study.
        study_attrs: The study's user attributes; the heartbeats of controllers in them tell how far
            what still runs has come.

    Returns:
        Columns number, attempt (from 1), worker, host, lane (the worker's name, with the host where
        there are several, and a number where one name worked on two trials at once), started and
        ended (unix seconds), outcome (of the trial; `lost` for an attempt that broke off, after
        which it is started again), open (nobody saw it end), controller (its id). An open attempt
        ends here where the next of its trial, or of its worker, starts; else at the last sign of
        life of the study.
    """
    found = [attempt for trial in trials for attempt in _attempts(trial)]
    beats = [
        float(one["beat"]) for one in _controllers(study_attrs or {}).values() if one.get("beat")
    ]
    moments = [moment for one in found for moment in (one.started, one.ended)] + beats
    last = max((moment for moment in moments if not math.isnan(moment)), default=math.nan)
    closed = [one._replace(ended=_end(one, found, last)) for one in found]
    table = pd.DataFrame(_with_lanes(closed), columns=list(Attempt._fields))
    kinds = {"number": int, "attempt": int, "started": float, "ended": float, "open": bool}
    return table.astype(kinds)


def listed(table: pd.DataFrame) -> list[Attempt]:
    """Return the rows of `attempts_table`."""
    rows = table[list(Attempt._fields)].to_dict("records")
    return [Attempt(**{str(name): value for name, value in row.items()}) for row in rows]


def _attempts(trial: FrozenTrial) -> list[Attempt]:
    recorded = trial.user_attrs.get(ATTEMPTS) or []
    if not recorded and trial.datetime_start is not None and not trial.user_attrs.get(ORIGIN):
        # A study of plain Optuna: times without a zone are the clock of the machine.
        ended = trial.datetime_complete
        recorded = [
            {
                "started": trial.datetime_start.timestamp(),
                "ended": None if ended is None else ended.timestamp(),
            }
        ]
    return [
        Attempt(
            number=trial.number,
            attempt=place,
            worker=str(one.get("worker") or _NOBODY),
            host=one.get("host"),
            lane="",
            started=float(one["started"]),
            ended=math.nan if one.get("ended") is None else float(one["ended"]),
            outcome=_outcome(trial.state, one, place == len(recorded)),
            open=one.get("ended") is None,
            controller=one.get("controller"),
        )
        for place, one in enumerate(recorded, start=1)
    ]


def _outcome(state: TrialState, attempt: Mapping[str, Any], is_last: bool) -> str:
    # Of a trial that was given up after its process died, the last attempt is the failed one.
    goes_on = not state.is_finished() and attempt.get("ending") in _BROKEN_OFF
    return STATES[state] if is_last and not goes_on else LOST


def _end(one: Attempt, attempts: Sequence[Attempt], last: float) -> float:
    if not one.open:
        return one.ended
    later = [
        other.started
        for other in attempts
        if other.started > one.started
        and (other.number == one.number or (other.worker, other.host) == (one.worker, one.host))
    ]
    return min(later, default=last)


def _with_lanes(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Give each attempt a lane so that no two in a lane overlap."""
    hosts = {one.host for one in attempts if one.host}
    lanes: dict[tuple[int, int], str] = {}
    for host, worker in dict.fromkeys((one.host, one.worker) for one in attempts):
        label = f"{host} {worker}" if host and len(hosts) > 1 else worker
        free: list[int] = []
        busy: list[tuple[float, int]] = []
        mine = [one for one in attempts if (one.host, one.worker) == (host, worker)]
        for one in sorted(mine, key=lambda one: one.started):
            while busy and busy[0][0] <= one.started:
                heapq.heappush(free, heapq.heappop(busy)[1])
            place = heapq.heappop(free) if free else len(busy)
            heapq.heappush(busy, (one.ended, place))
            lanes[one.number, one.attempt] = label if place == 0 else f"{label} ({place + 1})"
    return [one._replace(lane=lanes[one.number, one.attempt]) for one in attempts]


def _controllers(study_attrs: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is known of each controller by its id."""
    return {
        key.removeprefix(CONTROLLER): one
        for key, one in study_attrs.items()
        if key.startswith(CONTROLLER) and isinstance(one, dict)
    }


def controller_lives(study_attrs: Mapping[str, Any], attempts: pd.DataFrame) -> list[Span] | None:
    """Return the times in which a controller of the study lived.

    Args:
        study_attrs: The study's user attributes.
        attempts: From `attempts_table`.

    Returns:
        Joined spans in unix seconds, each from the start of the controller's process to its last
        heartbeat or the last end of its work; None where some attempt's controller left no trace,
        for then nothing can be said of the gaps.
    """
    known = _controllers(study_attrs)
    ends = {name: float(facts.get("beat") or 0.0) for name, facts in known.items()}
    for one in listed(attempts):
        if one.controller not in ends:
            return None
        if not one.open:
            ends[one.controller] = max(ends[one.controller], one.ended)
    starts = {name: float(facts.get("pid_started") or math.inf) for name, facts in known.items()}
    lives = union((starts[name], end) for name, end in ends.items() if starts[name] <= end)
    return lives or None


def union(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch joined."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
