"""What a training needs to know when it is a trial of a study: whom to report to, how it may end.

The study runs in another process. A training never sees Optuna; it reports scores through a channel
and is told whether to go on. Whoever starts the trial's process makes the channel known there with
`as_trial`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from seglab.core.errors import SeglabError


class TrialEnd(StrEnum):
    """How a trial, or one start of it, ended; the text is what storages and records hold."""

    FINISHED = "finished"  # has its scores
    PRUNED = "pruned"  # was given up because others do better
    FAILED = "failed"  # for a `FailureReason`
    DIED = "died"  # its process ended without a word; its controller may start it again
    RELEASED = "released"  # its controller stopped; the next one resumes it
    ABANDONED = "abandoned"  # its controller was not heard of any more; another one resumes it


class FailureReason(StrEnum):
    """Why a trial failed; the text is what storages hold."""

    NAN = "nan"  # a score is no finite number, or scores are missing
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    INTERRUPTED = "interrupted"  # it was asked to stop


class TrialPrunedError(SeglabError):
    """The study gave this trial up because others do better; its record ends as `pruned`."""


class TrialChannel(Protocol):
    """The way from a trial to its study.

    Attributes:
        study: Id of the study; the trial's record names it as its parent.
        number: Of the trial in the study, from 0.
    """

    study: str
    number: int

    def report(self, value: float, step: int) -> bool:
        """Report the score that is optimised after a step (an epoch, or a fold); ask whether to stop.

        Args:
            value: The score; NaN is not reported and never stops a trial.
            step: From 0; a step reported before (by a resumed trial) is not counted twice.

        Returns:
            Whether the study gives the trial up. The caller raises `TrialPrunedError`.
        """

    def progress(self, **facts: Any) -> None:
        """Tell the watchers how far it is (epoch, max_epochs, metric, value, first_step); no answer."""


_current: TrialChannel | None = None


def current_trial() -> TrialChannel | None:
    """Return the channel of the trial this process is; None where it is none."""
    return _current


@contextmanager
def as_trial(channel: TrialChannel) -> Iterator[None]:
    """Make a channel known to all that runs inside."""
    global _current
    former, _current = _current, channel
    try:
        yield
    finally:
        _current = former
