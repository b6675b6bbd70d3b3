"""The failure galleries of several runs, lined up: one entry per sample, one column per run."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from seglab.analysis.report.model import Case, RunView


@dataclass(frozen=True)
class Attempt:
    """What one run made of a sample."""

    run: RunView
    case: Case


@dataclass(frozen=True)
class SampleEntry:
    """One sample with what every run that has it in its gallery made of it."""

    sample_id: str
    attempts: tuple[Attempt, ...]

    @property
    def first(self) -> Case:
        """The case whose image and truth are shown."""
        return self.attempts[0].case

    def values(self, name: str) -> tuple[str, ...]:
        """Return the distinct `class_names`, `error_types` or `reasons` of its cases."""
        found = (value for attempt in self.attempts for value in getattr(attempt.case, name))
        return tuple(dict.fromkeys(found))

    @property
    def num_runs(self) -> int:
        """How many runs have it."""
        return len({attempt.run.key for attempt in self.attempts})


def line_up(runs: Sequence[RunView]) -> tuple[SampleEntry, ...]:
    """Return the samples of all galleries, those of most runs first, then the worst first.

    The same sample id in two runs is the same sample only on the same data. Where the truth shown
    differs within a run, such as two crops of one image, there are two entries.
    """
    groups: dict[Hashable, list[Attempt]] = {}
    for run in runs:
        seen: dict[Hashable, int] = {}
        for case in run.cases:
            sample = (run.fingerprint, case.sample_id)
            turn = seen[sample] = seen.get(sample, -1) + 1
            groups.setdefault((*sample, turn), []).append(Attempt(run, case))
    entries = [SampleEntry(found[0].case.sample_id, tuple(found)) for found in groups.values()]
    return tuple(sorted(entries, key=_order))


def _order(entry: SampleEntry) -> tuple[int, int, str]:
    best = min(attempt.case.rank for attempt in entry.attempts)
    return -entry.num_runs, best, entry.sample_id


def choices(entries: Sequence[SampleEntry], name: str) -> tuple[str, ...]:
    """Return all values of `class_names`, `error_types` or `reasons`, sorted, for a filter."""
    return tuple(sorted({value for entry in entries for value in entry.values(name)}))
