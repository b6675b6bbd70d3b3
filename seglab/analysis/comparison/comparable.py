"""May these runs be compared at all? Scores of other images or classes say nothing of the models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from seglab.analysis.comparison.run_scores import RunScores
from seglab.core.errors import DataError, list_problems
from seglab.core.text.wording import joined
from seglab.runs import RunRecord
from seglab.runs.process import effective_status
from seglab.runs.schema import data_of

_MAX_NAMED = 3


class NotComparableError(DataError):
    """Runs were asked to be compared that cannot be; `reasons` says why."""

    exit_code = 2

    def __init__(self, reasons: Sequence[str], can_force: bool = True) -> None:
        self.reasons = list(reasons)
        hint = "; --force (force=True) compares them all the same" if can_force else ""
        super().__init__(list_problems(f"these runs cannot be compared{hint}", self.reasons))


def why_not_comparable(
    records: Sequence[RunRecord] | Sequence[RunScores], split: str = "val"
) -> list[str]:
    """Return the reasons for which these runs must not be compared; empty when they may.

    Args:
        records: Records, or what `RunScores.read` made of them.
        split: The split whose scores are compared.

    Returns:
        One sentence a reason: runs that did not finish, other data (by fingerprint), classes,
        split, images or truth (by ids and target pixels of each image), cross-validations against
        single trainings, other folds.
    """
    runs = [run if isinstance(run, RunScores) else RunScores.read(run, split) for run in records]
    reasons = [
        f"{run.run_id} is {effective_status(run.content)}, not finished"
        for run in runs
        if effective_status(run.content) != "finished"
    ]
    reasons += _unscored(runs, split)
    reasons += _unequal(
        "the data differs", {run.run_id: data_of(run.content) for run in runs}, "fingerprint "
    )
    classes = {run.run_id: ", ".join(run.class_names) for run in runs if run.class_names}
    reasons += _unequal("the classes differ", classes)
    kinds = {run.run_id: "a cross-validation" if run.is_cv else "a single training" for run in runs}
    reasons += _unequal("a mean over folds is no score of one training", kinds)
    folds = {run.run_id: run.fold_hash for run in runs if run.is_cv}
    reasons += _unequal("the folds differ", folds, "plan ")
    return reasons + _other_folds(runs) + _other_images(runs)


def _unscored(runs: Sequence[RunScores], split: str) -> list[str]:
    reasons = []
    for run in runs:
        own = run.content["main_split"]
        scored = np.isfinite(run.score("miou")) or run.per_image is not None
        if not scored or (run.is_cv and split != own):
            hint = f"; it was scored on {own}" if own != split else ""
            reasons.append(f"{run.run_id} has no scores of {split}{hint}")
    return reasons


def _unequal(title: str, values: Mapping[str, Hashable], prefix: str = "") -> list[str]:
    """Return one reason that names who has which value, where they are not all the same."""
    held: dict[Hashable, list[str]] = {}
    for run_id, value in values.items():
        held.setdefault(value, []).append(run_id)
    if len(held) < 2:
        return []
    parts = (
        f"{prefix}{'unknown' if value is None else value} ({joined(ids, _MAX_NAMED)})"
        for value, ids in held.items()
    )
    return [f"{title}: {'; '.join(parts)}"]


def _other_folds(runs: Sequence[RunScores]) -> list[str]:
    """Return who lacks folds that another has."""
    have = {run.run_id: set(run.fold_scores.index) for run in runs if run.fold_scores is not None}
    if not have:
        return []
    known = set().union(*have.values())
    return [
        f"{run_id} has {len(folds)} of {len(known)} folds"
        for run_id, folds in have.items()
        if folds != known
    ]


def _other_images(runs: Sequence[RunScores]) -> list[str]:
    """Return who was scored on other images, or on other masks, than the first with counts."""
    counted = [run for run in runs if run.per_image is not None]
    reasons: list[str] = []
    for run in counted[1:]:
        first = counted[0]
        assert first.per_image is not None  # noqa: S101 - filtered above
        assert run.per_image is not None  # noqa: S101
        own, others = run.per_image.index, first.per_image.index
        if not own.equals(others):
            missing, more = others.difference(own), own.difference(others)
            parts = [
                f"{len(ids)} {word} ({joined(ids, _MAX_NAMED)})"
                for ids, word in ((missing, "images missing"), (more, "images more"))
                if len(ids)
            ]
            reasons.append(f"{run.run_id} against {first.run_id}: {', '.join(parts)}")
        elif not _same_truth(run, first):
            reasons.append(
                f"{run.run_id} against {first.run_id}: the same images have other masks or sizes"
            )
    return reasons


def _same_truth(run: RunScores, other: RunScores) -> bool:
    """Whether each image has as many target pixels (tp + fn) of each class for both runs."""
    assert run.per_image is not None  # noqa: S101 - asked only for runs with counts
    sample_ids = run.per_image.index.tolist()
    ours, theirs = run.counts(sample_ids), other.counts(sample_ids)
    return bool(np.array_equal(ours.tp + ours.fn, theirs.tp + theirs.fn))
