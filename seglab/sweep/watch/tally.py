"""The numbers of a study while it runs: progress of its trials, the best one, time left, idle workers.

Plain numbers without a clock or a screen of their own; `seglab.sweep.watch.study_watch` shows them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seglab.core.trial import TrialEnd
from seglab.runs.studies.study import StudyObjective, setting_of
from seglab.sweep.ask.plan import Counts

# Beyond so many waiting trials it no longer matters which worker takes which.
_MOST_DEALT_OUT = 1000


def finite(value: Any) -> float | None:
    """Return a value as a number; None where it is not one, NaN or infinite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@dataclass
class RunningTrial:
    """A trial that runs, and how far it is.

    Args:
        number: In the study.
        worker: Where it runs, for people.
        words: Overrides that make it.
        attempt: 1 for the first; later ones resume from a checkpoint.
        started: When this attempt began, by the watch's clock.
    """

    number: int
    worker: str
    words: Sequence[str]
    attempt: int
    started: float
    metric: str | None = None
    value: float | None = None
    where: str = ""
    is_folds: bool = False
    _total: float = 0.0
    # Moment and position its pace is measured from, and the last ones known.
    _first: tuple[float, float] | None = None
    _last: tuple[float, float] = (0.0, 0.0)

    def update(self, facts: Mapping[str, Any], now: float) -> None:
        """Take note of how far it is.

        Args:
            facts: As trainings tell them: `epoch` (from 0; it is over, unless `first_step` stands
                beside it) of `max_epochs`, `fold` (from 0) of `folds`, number of folds `finished`,
                `metric` and its `value`. Any may be missing, or odd.
            now: By the watch's clock.
        """
        if facts.get("metric") is not None:
            self.metric = str(facts["metric"])
        if "value" in facts:
            self.value = _number(facts["value"])
        epochs, all_epochs = finite(facts.get("epoch")), finite(facts.get("max_epochs"))
        if epochs is not None and "first_step" not in facts:
            epochs += 1
        folds, all_folds = finite(facts.get("fold")), finite(facts.get("folds"))
        share = epochs / all_epochs if epochs is not None and all_epochs else 0.0
        if "finished" in facts:
            folds, share = finite(facts["finished"]), 0.0
        if folds is not None and all_folds:
            inside = f" {epochs:.0f}/{all_epochs:.0f}" if share else ""
            self.is_folds, self.where = True, f"{folds:.0f}/{all_folds:.0f}{inside}"
            self._moved(folds + share, all_folds, now)
        elif epochs is not None:
            self.where = f"{epochs:.0f}/{all_epochs:.0f}" if all_epochs else f"{epochs:.0f}"
            self._moved(epochs, all_epochs or 0.0, now)

    def _moved(self, position: float, total: float, now: float) -> None:
        if self._first is None:
            # When a resumed trial came to where it is, nobody knows.
            from_start = self.attempt == 1 and position > 0
            self._first = (self.started, 0.0) if from_start else (now, position)
        if position >= self._last[1]:
            self._last = (now, position)
        self._total = total

    def seconds_left(self, now: float) -> float | None:
        """Return the time it needs yet at its pace so far; None before there is one.

        It does not run out in an epoch (or fold) that takes longer than those before.
        """
        if self._first is None or self._last[1] <= self._first[1]:
            return None
        (since, start), (moment, position) = self._first, self._last
        pace = (moment - since) / (position - start)
        if not self._total:
            return None
        return max(0.0, pace * (self._total - position) - min(now - moment, pace))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Scored:
    """A finished trial with its scores."""

    number: int
    values: tuple[float, ...]
    words: tuple[str, ...]


def _mean(repeats: Sequence[Scored]) -> Scored:
    values = zip(*(one.values for one in repeats), strict=False)
    return replace(repeats[0], values=tuple(sum(one) / len(one) for one in values))


@dataclass
class Best:
    """The best trial, or with several objectives those of the Pareto front.

    Args:
        objectives: What is optimised; none, and nothing is best.
    """

    objectives: Sequence[StudyObjective]
    trials: list[Scored] = field(default_factory=list)
    _by_setting: dict[tuple[str, ...], list[Scored]] = field(default_factory=dict)

    def add(self, one: Scored) -> bool:
        """Take note of a finished trial; return whether it is now (one of) the best.

        Of equally good ones the first counts; a score that is not a number never does. Trials that
        differ by seed alone count as one, with their mean.
        """
        same = self._by_setting.setdefault(setting_of(one.words), [])
        same.append(one)
        if len(same) == 1 or not one.words:
            return self._add(one)
        everything, self.trials = self._by_setting.values(), []
        for repeats in everything:
            self._add(_mean(repeats))
        return any(trial.number == same[0].number for trial in self.trials)

    def _add(self, one: Scored) -> bool:
        complete = len(one.values) == len(self.objectives) > 0
        if not complete or any(math.isnan(value) for value in one.values):
            return False
        if any(self._at_least_as_good(other, one) for other in self.trials):
            return False
        self.trials = [other for other in self.trials if not self._at_least_as_good(one, other)]
        self.trials.append(one)
        return True

    def _at_least_as_good(self, one: Scored, other: Scored) -> bool:
        return all(
            a >= b if objective.maximises else a <= b
            for objective, a, b in zip(self.objectives, one.values, other.values, strict=True)
        )


class Tally:
    """Counts trials and the time of workers.

    Args:
        workers: How many there are here.
        budget: Trials of the study.
        objectives: What is optimised.
        now: By the watch's clock.
    """

    def __init__(
        self, workers: int, budget: int, objectives: Sequence[StudyObjective], now: float
    ) -> None:
        self.workers = workers
        self.budget = budget
        self.running: dict[int, RunningTrial] = {}
        self.ended = dict.fromkeys((TrialEnd.FINISHED, TrialEnd.PRUNED, TrialEnd.FAILED), 0)
        self.elsewhere = 0
        self.best = Best(objectives)
        self.began = now
        self._lost: set[int] = set()
        self._durations: list[float] = []
        self._moment = now
        self._idle_s = self._busy_or_idle_s = 0.0

    @property
    def done(self) -> int:
        """Trials of the budget that ended."""
        return sum(self.ended.values())

    @property
    def waiting(self) -> int:
        """Trials of the budget that nobody runs yet."""
        return max(0, self.budget - self.done - len(self.running) - self.elsewhere)

    def started(self, trial: RunningTrial) -> None:
        """A trial begins, or is resumed."""
        self._let_time_pass(trial.started)
        if trial.attempt > 1 and trial.number not in self._lost:
            self.elsewhere = max(0, self.elsewhere - 1)  # another controller has left it
        self._lost.discard(trial.number)
        self.running[trial.number] = trial

    def stopped(self, number: int, status: TrialEnd, now: float) -> RunningTrial | None:
        """A trial ended, or its process is gone; return what was known of it."""
        self._let_time_pass(now)
        trial = self.running.pop(number, None)
        if status not in self.ended:
            self._lost.add(number)
            return trial
        self.ended[status] += 1
        if trial is not None and trial.attempt == 1:
            self._durations.append(max(0.0, now - trial.started))
        return trial

    def counts(self, counts: Counts, now: float) -> None:
        """Take the numbers of the whole study, as the storage has them."""
        self._let_time_pass(now)
        self.ended = {
            TrialEnd.FINISHED: counts.finished,
            TrialEnd.PRUNED: counts.pruned,
            TrialEnd.FAILED: counts.failed,
        }
        self.budget = counts.budget
        self.elsewhere = max(0, counts.running - len(self.running) - len(self._lost))

    def _let_time_pass(self, now: float) -> None:
        """Count the time since the last change; nothing changed in between."""
        passed, self._moment = max(0.0, now - self._moment), max(now, self._moment)
        if self.waiting:
            self._busy_or_idle_s += passed * self.workers
            self._idle_s += passed * max(0, self.workers - len(self.running))

    def idle_share(self, now: float) -> float | None:
        """Return which share of the workers' time passed without a trial while trials waited.

        None before any trial waited for any time.
        """
        self._let_time_pass(now)
        return self._idle_s / self._busy_or_idle_s if self._busy_or_idle_s else None

    def mean_duration(self, now: float) -> float | None:
        """Return how long a trial takes: those that ended, else by the pace of those that run."""
        if self._durations:
            return sum(self._durations) / len(self._durations)
        paces = [
            now - trial.started + left
            for trial in self.running.values()
            if trial.attempt == 1 and (left := trial.seconds_left(now)) is not None
        ]
        return sum(paces) / len(paces) if paces else None

    def seconds_left(self, now: float) -> float | None:
        """Return the time the study needs yet; None before a trial has a pace.

        Workers take the next trial as they get free, each of mean length; of a trial that runs
        elsewhere half is taken to be over.
        """
        mean = self.mean_duration(now)
        if mean is None:
            return None
        free_in = [mean / 2] * self.elsewhere
        for trial in self.running.values():
            left = trial.seconds_left(now)
            free_in.append(max(0.0, mean - (now - trial.started)) if left is None else left)
        free_in += [0.0] * max(0, self.workers - len(self.running))
        if not free_in:
            return None
        heapq.heapify(free_in)
        for _ in range(min(self.waiting, _MOST_DEALT_OUT)):
            heapq.heapreplace(free_in, free_in[0] + mean)
        rest = max(0, self.waiting - _MOST_DEALT_OUT) * mean / len(free_in)
        return max(free_in) + rest
