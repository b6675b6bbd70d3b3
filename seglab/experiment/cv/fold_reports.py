"""What a study hears of a trial that is a cross-validation: how far its folds are, what each scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seglab.core.trial import TrialChannel, TrialPrunedError
from seglab.experiment.cv.collect import FoldRun
from seglab.runs import RunRecord


class FoldChannel:
    """The channel of a trial as its folds see it: they tell how far they are, and report nothing.

    Args:
        trial: That of the cross-validation.
        folds: How many there are.

    Attributes:
        fold: Number of the one that trains, from 0.
    """

    def __init__(self, trial: TrialChannel, folds: int) -> None:
        self.study = trial.study
        self.number = trial.number
        self.fold = 0
        self._trial = trial
        self._folds = folds
        self._stepped = False

    def report(self, value: float, step: int) -> bool:
        """Keep a score of an epoch from the study, which compares whole folds."""
        return False

    def progress(self, **facts: Any) -> None:
        """Pass on with the fold; the first step of a trial is that of its first fold."""
        if self._stepped:
            facts.pop("first_step", None)
        self._stepped |= bool(facts.get("first_step"))
        self._trial.progress(**facts, fold=self.fold, folds=self._folds)


class FoldReports:
    """Reports the finished folds of a trial that is a cross-validation.

    Args:
        trial: The way to the study.
        metric: Key of the score of a fold, one of the validation split.
        folds: All folds, in the order of the plan; their places are the steps reported.
    """

    def __init__(self, trial: TrialChannel, metric: str, folds: Sequence[FoldRun]) -> None:
        self.trial = trial
        self.metric = metric
        self.folds = list(folds)
        self._channel = FoldChannel(trial, len(self.folds))

    def channel(self, fold: FoldRun) -> FoldChannel:
        """Return the channel for the training of a fold."""
        self._channel.fold = self.folds.index(fold)
        return self._channel

    def report(self, fold: FoldRun) -> None:
        """Report a finished fold.

        Raises:
            TrialPrunedError: The study gives the trial up; never after the last fold.
        """
        step, value = self.folds.index(fold), RunRecord(fold.run_dir).metrics[self.metric]
        finished = sum(one.is_finished() for one in self.folds)
        self.trial.progress(
            fold=step, folds=len(self.folds), finished=finished, metric=self.metric, value=value
        )
        given_up = not math.isnan(value) and self.trial.report(value, step)
        if given_up and finished < len(self.folds):
            raise TrialPrunedError(
                f"given up by its study after fold {fold.name}, {finished} of {len(self.folds)} "
                f"finished: {self.metric} {value:.4f}"
            )
