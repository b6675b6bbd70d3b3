"""One trial of a study: started, taken up where a former process left it, or found to have ended.

A trial is judged by the validation split alone. Whoever chooses the best of many by a score makes
that score optimistic, so the test split is left to what becomes of the winner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.core.errors import ConfigError
from seglab.core.trial import TrialChannel, TrialPrunedError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from seglab.experiment.cv.collect import FoldRun
    from seglab.experiment.train import TrainResult

# A process that was asked to stop finishes its step and saves; one that was killed is gone at once.
LOCK_WAIT_S = 60.0


def launch_trial(
    cfg: DictConfig, run_dir: Path, trial: TrialChannel, console: Console | None = None
) -> TrainResult:
    """Train, or cross-validate, one trial; whatever an earlier process of it did is used.

    A finished trial (its study died before it heard) is not trained again, and neither is a pruned
    one; any other goes on from its last checkpoint. What is left of the checkpoints: of a finished
    trial the best, which can still be scored; of a pruned one none.

    Args:
        cfg: Composed configuration of the trial; a record that is there keeps its own.
        run_dir: Folder for the record.
        trial: The way to the study.
        console: Where progress and tables go.

    Raises:
        TrialPrunedError: The study gave the trial up, now or before.
        ConfigError: The configuration has mistakes or suits no trial, or a former process of the
            trial does not end.
        SeglabError: The training failed or was interrupted; the record says so too.
    """
    from seglab.engine.loop.checkpoint import BEST, LAST

    try:
        result = _run(cfg, run_dir, trial, console)
    except TrialPrunedError:
        _drop_checkpoints(run_dir, (BEST, LAST))
        raise
    _drop_checkpoints(run_dir, (LAST,))
    return result


def _run(
    cfg: DictConfig, run_dir: Path, trial: TrialChannel, console: Console | None
) -> TrainResult:
    from seglab.experiment.cross_validate import cross_validate
    from seglab.experiment.prepare.folds import is_cross_validation
    from seglab.experiment.train import train
    from seglab.runs.locate import RECORD_FILE

    if not (run_dir / RECORD_FILE).is_file():
        problems = trial_problems(cfg)
        if problems:
            raise ConfigError(problems)
        start = cross_validate if is_cross_validation(cfg) else train
        return start(trial_config(cfg, trial), run_dir, console, trial=trial)
    return go_on(run_dir, console, trial)


def go_on(
    run_dir: Path, console: Console | None = None, trial: TrialChannel | None = None
) -> TrainResult:
    """Go on with what a former process of the same job left, however it ended.

    Args:
        run_dir: Folder of its record.
        console: Where progress and tables go.
        trial: As for `launch_trial`; None for a job of a plain grid.

    Raises:
        TrialPrunedError: It was given up before.
        SeglabError: As `take_up`.
    """
    from seglab.experiment.cross_validate import take_up
    from seglab.experiment.train import TrainResult, only_writer
    from seglab.runs import RunRecord

    record = RunRecord.open(run_dir)
    # The former process may be on its way out, and still write how it ended.
    with only_writer(record, LOCK_WAIT_S):
        content = record.read()
    if content["status"] == "finished":
        return TrainResult(run_dir, "finished", record.metrics)
    if content["status"] == "pruned":
        raise TrialPrunedError((content["error"] or {}).get("message", "given up before"))
    return take_up(run_dir, console, trial)


def trial_problems(cfg: DictConfig) -> list[str]:
    """Return what a training may do, but not as a trial; cheap enough to ask before a study starts.

    Args:
        cfg: Composed configuration.
    """
    cv = cfg.get("cv") or {}
    problems = []
    if cv.get("scheme") == "nested" and cv.get("fold") is None:
        problems.append(
            "cv: nested folds score each model on images held out from every choice, and a study is a "
            "choice; expected cv=grouped or another plain scheme, which leaves the test split aside"
        )
    if cv.get("leak_report"):
        problems.append(
            "cv.leak_report: trains as many folds again at random, for each trial; expected false in a "
            "study, true when the winner is trained"
        )
    return problems


def trial_config(cfg: DictConfig, trial: TrialChannel) -> DictConfig:
    """Return the configuration of a trial: named after its study, shown in its group.

    What only people look at is left out where it costs each trial time or space: no pictures of
    predictions while it trains, no weights in W&B. Every number is measured as in any training.

    Args:
        cfg: As composed for the trial.
        trial: Its study and number.
    """
    own = cfg.copy()
    own.run_name = f"{trial.study} trial {trial.number}"
    own.logger.wandb.group = cfg.logger.wandb.group or trial.study
    own.logger.wandb.log_model = False
    own.callbacks.overlays.num_images = 0
    return own


def _drop_checkpoints(run_dir: Path, names: Sequence[str]) -> None:
    from seglab.runs.folds import FOLDS

    for name in names:
        for pattern in (f"checkpoints/{name}", f"{FOLDS}/*/checkpoints/{name}"):
            for path in run_dir.glob(pattern):
                path.unlink(missing_ok=True)


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
        from seglab.runs import RunRecord

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
