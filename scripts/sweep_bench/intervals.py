"""What the trials' own log says: who ran when, how long workers idled, which score was best."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Interval:
    """One trial as it saw itself.

    Attributes:
        number: Of the trial, from 0.
        start: When its function was called, in seconds of the machine's monotonic clock.
        end: When its function was left.
        length: Seconds all its epochs take.
        epochs: How many it trained.
        score: After the last epoch; None where it did not get there.
        true_score: The same without noise.
    """

    number: int
    start: float
    end: float
    length: float
    epochs: int
    score: float | None
    true_score: float | None


def read_intervals(path: Path) -> list[Interval]:
    """Return the trials of a log in the order in which they started."""
    names = Interval.__dataclass_fields__
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    trials = [Interval(**{name: line.get(name) for name in names}) for line in lines]
    return sorted(trials, key=lambda trial: trial.start)


def idle_share(trials: Sequence[Interval], workers: int) -> float:
    """Return the share of the workers' time without a trial, as long as a trial waited to start.

    None waits any more when the last one has started; what is idle after that is not counted.
    """
    first, last = trials[0].start, trials[-1].start
    busy = sum(min(trial.end, last) - trial.start for trial in trials)
    return 1 - busy / (workers * (last - first))


def gaps(trials: Sequence[Interval], workers: int) -> list[float]:
    """Return the seconds from each trial's end to the start of the one that took its place."""
    ends = sorted(trial.end for trial in trials)
    return [trial.start - end for end, trial in zip(ends, trials[workers:], strict=False)]


def batch_makespan(lengths: Sequence[float], workers: int) -> float:
    """Return how long trials take where each batch waits for its longest."""
    starts = range(0, len(lengths), workers)
    return sum(max(lengths[start : start + workers]) for start in starts)


def pull_makespan(lengths: Sequence[float], workers: int) -> float:
    """Return how long trials take where whoever is free takes the next."""
    free = [0.0] * workers
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)
