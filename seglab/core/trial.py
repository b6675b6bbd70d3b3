"""What a training needs to know when it is a trial of a study: whom to report to, and when to stop.

The study runs in another process. A training never sees Optuna; it reports scores through a channel
and is told whether to go on. Whoever starts the trial's process makes the channel known there with
`as_trial`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from seglab.core.errors import SeglabError


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
