"""How a trial ended, and what of it is recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial

from seglab.core.trial import FailureReason, TrialEnd
from seglab.runs.studies.study import (
    ERROR,
    FAILED_VALUES,
    FIRST_STEP_S,
    REASON,
    TRACEBACK,
    VALUES,
    StudyObjective,
)
from seglab.runs.studies.study_storage import END_OF

_MOST_ERROR, _MOST_TRACEBACK = 500, 20_000
# Attributes that tell of an end.
OF_OUTCOME = (VALUES, REASON, ERROR, TRACEBACK, FAILED_VALUES, FIRST_STEP_S)
STATE_OF = {end: state for state, end in END_OF.items()}


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        status: Finished, pruned or failed. The ledger answers `ABANDONED` where the trial is no
            longer the controller's and has not ended elsewhere.
        values: One an objective; of a failed trial what it returned that cannot count.
        reason: Of a failure.
        error: Of a failure, in one line.
        traceback: Of a failure.
        first_step_s: From the start of the process to its first training step.
    """

    status: TrialEnd
    values: list[float] | None = None
    reason: FailureReason | None = None
    error: str | None = None
    traceback: str | None = None
    first_step_s: float | None = None


def recordable(outcome: Outcome, objectives: Sequence[StudyObjective]) -> Outcome:
    """Return the outcome as it counts: values that are no numbers make a failure.

    Args:
        outcome: As a process left it.
        objectives: Of the study.
    """
    if outcome.status == TrialEnd.FINISHED:
        problem = _problem(outcome.values, objectives)
        if problem is None:
            return replace(outcome, values=[float(value) for value in outcome.values or ()])
        return replace(outcome, status=TrialEnd.FAILED, reason=FailureReason.NAN, error=problem)
    if outcome.status != TrialEnd.FAILED:
        return replace(outcome, values=None)
    error = (outcome.error or "").strip().splitlines() or ["no reason was given"]
    return replace(
        outcome,
        reason=outcome.reason or FailureReason.EXCEPTION,
        error=error[0][:_MOST_ERROR],
        traceback=(outcome.traceback or "")[-_MOST_TRACEBACK:] or None,
    )


def attributes(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    """Yield what is written of an outcome into the attributes of its trial."""
    facts: dict[str, Any] = {FIRST_STEP_S: outcome.first_step_s}
    if outcome.status == TrialEnd.FINISHED:
        facts[VALUES] = outcome.values
    if outcome.status == TrialEnd.FAILED:
        facts |= {
            REASON: outcome.reason,
            ERROR: outcome.error,
            TRACEBACK: outcome.traceback,
            FAILED_VALUES: [_shown(value) for value in outcome.values] if outcome.values else None,
        }
    yield from ((key, value) for key, value in facts.items() if value is not None)


def outcome_of(trial: FrozenTrial, status: TrialEnd | None = None) -> Outcome:
    """Return how a trial of the storage ended; `ABANDONED` here where it has not.

    Args:
        trial: As it is stored.
        status: How it ended, where all is written but its state.
    """
    status = status or END_OF.get(trial.state)
    if status is None:
        return Outcome(TrialEnd.ABANDONED, error="it is resumed elsewhere")
    facts = trial.user_attrs
    return Outcome(
        status,
        trial.values or facts.get(VALUES),
        facts.get(REASON),
        facts.get(ERROR),
        facts.get(TRACEBACK),
        facts.get(FIRST_STEP_S),
    )


def _problem(values: Any, objectives: Sequence[StudyObjective]) -> str | None:
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
