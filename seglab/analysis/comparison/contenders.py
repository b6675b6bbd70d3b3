"""Which runs meet: words become run folders, and runs that differ only by seed become one."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.analysis.comparison.run_scores import NAN, RunScores
from seglab.core.errors import RunNotFoundError
from seglab.metrics.pooled import ImageCounts
from seglab.runs import RunRecord, find_runs
from seglab.runs.locate import RECORD_FILE
from seglab.runs.process import effective_status

# Folder in the record of a cross-validation, for that of its random folds.
_LEAK_REPORT = "leak_report"


@dataclass(frozen=True)
class Contender:
    """One side of comparisons: a run, or repeats of it from other seeds.

    Args:
        label: How it is called: its run id, or the first one's and the number of seeds.
        runs: One or more.
    """

    label: str
    runs: tuple[RunScores, ...]

    @property
    def model(self) -> str:
        """Short name of the model."""
        return self.runs[0].model

    def scores(self, metric: str) -> np.ndarray:
        """Return the score of each repeat, `(S,)`."""
        return np.array([run.score(metric) for run in self.runs])

    def counts(self, sample_ids: Sequence[str]) -> ImageCounts:
        """Return the counts of these images, summed over repeats."""
        parts = [run.counts(sample_ids) for run in self.runs]
        tp, fp, fn = (np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True))
        return ImageCounts(tp, fp, fn)

    def image_scores(self, sample_ids: Sequence[str]) -> np.ndarray:
        """Return the mIoU of single images, `(N,)`, a mean over repeats."""
        return np.mean([run.image_scores(sample_ids) for run in self.runs], axis=0)

    def cost(self, name: str) -> float:
        """Return what one training of it costs, a mean over repeats: `hours` or a `cost/` key."""
        values = [run.hours if name == "hours" else run.cost(name) for run in self.runs]
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else NAN


def fold_seeds(runs: Iterable[RunScores]) -> list[Contender]:
    """Put runs together that have the same settings but for the seed; keeps the order.

    Runs with the same settings and the same seed are no repeats, for they may share everything:
    none of such a group is put together. Cross-validations stay alone; they are compared by fold.
    """
    groups: dict[str, list[RunScores]] = {}
    for run in runs:
        key = run.run_id if run.is_cv else run.settings_hash
        groups.setdefault(key, []).append(run)
    contenders = []
    for group in groups.values():
        seeds = Counter(run.content["seed"] for run in group)
        if len(group) > 1 and len(seeds) == len(group) and None not in seeds:
            label = f"{group[0].run_id} ({len(group)} seeds)"
            contenders.append(Contender(label, tuple(group)))
        else:
            contenders += [Contender(run.run_id, (run,)) for run in group]
    return contenders


def choose_runs(
    words: Iterable[str | Path], runs_dir: str | Path = "runs"
) -> tuple[list[Path], list[str]]:
    """Return the run folders that words stand for, and notes on what was left out.

    Args:
        words: Run folders (of a training, an evaluation, a cross-validation), folders of runs such
            as an experiment, globs of either, or run ids below `runs_dir`.
        runs_dir: Where run ids, and names of experiments, are looked up.

    Raises:
        RunNotFoundError: A word stands for no run; the message names near ones.
    """
    chosen: list[Path] = []
    notes: list[str] = []
    for word in words:
        for path in _expand(str(word), Path(runs_dir)):
            if (path / RECORD_FILE).is_file():
                chosen.append(path)
                continue
            found, left_out = _choose_in(path)
            chosen += found
            notes += left_out
    unique = {path.resolve(): path for path in chosen}
    return list(unique.values()), notes


def _expand(word: str, runs_dir: Path) -> list[Path]:
    path = Path(word).expanduser()
    if path.name == RECORD_FILE:
        path = path.parent
    for place in (path, runs_dir / word):
        if place.is_dir() and find_runs(place):
            return [place]
    if glob.has_magic(word):
        for pattern in (str(path), str(Path(glob.escape(str(runs_dir))) / word)):
            # A pattern that catches files beside the runs means the runs.
            caught = [Path(match) for match in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute
            caught = [match for match in caught if match.is_dir() and find_runs(match)]
            if caught:
                return caught
        raise RunNotFoundError(f"no run matches '{word}', here or under {runs_dir}")
    return [RunRecord.open(path, root=runs_dir).run_dir]


def _choose_in(folder: Path) -> tuple[list[Path], list[str]]:
    """Choose among the runs of a folder: finished trainings; evaluations where there are none.

    An evaluation of a training beside it would meet itself; a run that failed has nothing to say.
    """
    trained: list[Path] = []
    scored: list[Path] = []
    unfinished = 0
    for path in find_runs(folder):
        content = RunRecord.open(path).read()
        # A cross-validation in a study has a parent too.
        is_leak_report = content["kind"] == "cv" and path.parent.name == _LEAK_REPORT
        if effective_status(content) != "finished":
            unfinished += 1
        elif content["kind"] == "eval":
            scored.append(path)
        elif not is_leak_report:
            trained.append(path)
    notes = [f"{unfinished} runs in {folder} are not finished and left out"] if unfinished else []
    if trained and scored:
        notes.append(
            f"{len(scored)} evaluations in {folder} are left out beside the trainings; name their "
            "folders to compare them"
        )
    return trained or scored, notes
