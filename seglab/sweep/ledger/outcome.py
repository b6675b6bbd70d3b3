"""How a trial ended, as it is told and as it can be recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from seglab.runs.study import ERROR, FAILED_VALUES, FIRST_STEP_S, REASON, REASONS, TRACEBACK, VALUES
from seglab.sweep.ask.plan import Objective

_MOST_ERROR, _MOST_TRACEBACK = 500, 20_000
# Attributes that tell of an end.
OF_OUTCOME = (VALUES, REASON, ERROR, TRACEBACK, FAILED_VALUES, FIRST_STEP_S)
# What processes are said to end by -> the reason in the record.
_REASONS = {"died": "killed", **{reason: reason for reason in REASONS}}
Status = Literal["finished", "pruned", "failed", "interrupted"]
_STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
STATES = {status: state for state, status in _STATUS.items()}


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        status: finished, pruned or failed. The ledger answers `interrupted` where the trial is no
            longer the controller's and goes on elsewhere.
        values: One an objective; of a failed trial what it returned that cannot count.
        reason: Of a failure: nan, exception, timeout, out_of_memory, killed or interrupted.
        error: Of a failure, in one line.
        traceback: Of a failure.
        first_step_s: From the start of the process to its first training step.
    """

    status: Status
    values: list[float] | None = None
    reason: str | None = None
    error: str | None = None
    traceback: str | None = None
    first_step_s: float | None = None


def recordable(outcome: Outcome, objectives: Sequence[Objective]) -> Outcome:
    """Return the outcome as it counts: values that are no numbers make a failure.

    Args:
        outcome: As a process left it.
        objectives: Of the study.
    """
    if outcome.status == "finished":
        problem = _problem(outcome.values, objectives)
        if problem is None:
            return replace(outcome, values=[float(value) for value in outcome.values or ()])
        return replace(outcome, status="failed", reason="nan", error=problem)
    if outcome.status != "failed":
        return replace(outcome, values=None)
    error = (outcome.error or "").strip().splitlines() or ["no reason was given"]
    return replace(
        outcome,
        reason=_REASONS.get(outcome.reason or "", "exception"),
        error=error[0][:_MOST_ERROR],
        traceback=(outcome.traceback or "")[-_MOST_TRACEBACK:] or None,
    )


def attributes(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    """Yield what is written of an outcome into the attributes of its trial."""
    facts: dict[str, Any] = {FIRST_STEP_S: outcome.first_step_s}
    if outcome.status == "finished":
        facts[VALUES] = outcome.values
    if outcome.status == "failed":
        facts |= {
            REASON: outcome.reason,
            ERROR: outcome.error,
            TRACEBACK: outcome.traceback,
            FAILED_VALUES: [_shown(value) for value in outcome.values] if outcome.values else None,
        }
    yield from ((key, value) for key, value in facts.items() if value is not None)


def outcome_of(trial: FrozenTrial, status: Status | None = None) -> Outcome:
    """Return how a trial of the storage ended; `interrupted` where it has not.

    Args:
        trial: As it is stored.
        status: How it ended, where all is written but its state.
    """
    status = status or _STATUS.get(trial.state)
    if status is None:
        return Outcome("interrupted", reason="interrupted", error="it goes on elsewhere")
    facts = trial.user_attrs
    return Outcome(
        status,
        trial.values or facts.get(VALUES),
        facts.get(REASON),
        facts.get(ERROR),
        facts.get(TRACEBACK),
        facts.get(FIRST_STEP_S),
    )


def _problem(values: Any, objectives: Sequence[Objective]) -> str | None:
    """Return what is wrong with the values of a finished trial; None if nothing is."""
    names = ", ".join(objective.metric for objective in objectives)
    if not isinstance(values, list | tuple) or len(values) != len(objectives):
        came = f"{len(values)} values" if isinstance(values, list | tuple) else repr(values)
        return f"expected {len(objectives)} values ({names}), got {came}"
    wrong = [
        f"{objective.metric} is {_shown(value)}"
        for objective, value in zip(objectives, values, strict=True)
        if not _is_finite(value)
    ]
    return f"expected finite scores, but {', '.join(wrong)}" if wrong else None


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _shown(value: Any) -> float | str:
    """Return a value as JSON can hold it everywhere; browsers do not read NaN."""
    return float(value) if _is_finite(value) else str(value)
