"""The events that the pool reports: scores, progress, and the ends of trials' processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seglab.core.trial import FailureReason, TrialEnd


@dataclass(frozen=True)
class Report:
    """A trial reports a score and waits for the answer whether to stop; see `Pool.answer`.

    Attributes:
        number: Of the trial.
        step: Epoch or fold, from 0.
        value: The score; never NaN.
    """

    number: int
    step: int
    value: float


@dataclass(frozen=True)
class Progress:
    """How far a trial is.

    Attributes:
        number: Of the trial.
        facts: As the training passed them: epoch, max_epochs, metric, value, first_step.
    """

    number: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """How the process of a trial ended; it and everything it started are gone by now.

    Attributes:
        status: Finished where the work returned, pruned or failed where it raised; died where the
            process ended without a message. One that was stopped because its time was over has
            failed, whatever its message was.
        result: What the work returned.
        reason: Of a failure or a death: `KILLED` where the process died by itself, `INTERRUPTED`
            where it was asked to stop.
        error: One line for people; empty where there was none.
        traceback: The full text; of a process that died, the last it wrote to its log.
        exit_code: Of the process, negative for a signal; None where nobody could learn it.
        first_step_s: Seconds from `Pool.start` to the first training step, if it came so far.
        started: Unix time of `Pool.start`.
        ended: Unix time at which its slot became free.
    """

    status: TrialEnd
    result: Any = None
    reason: FailureReason | None = None
    error: str = ""
    traceback: str = ""
    exit_code: int | None = None
    first_step_s: float | None = None
    started: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class Ended:
    """The process of a trial is gone, and its slot is free."""

    number: int
    ending: Ending


Event = Report | Progress | Ended
