"""Tells a study how one of its trials goes, and ends the training when the study gives it up."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from seglab.core.trial import TrialChannel, TrialPrunedError
from seglab.engine.loop.checkpoint import is_validated
from seglab.engine.step.module import as_module


class TrialReport(Callback):
    """Reports the monitored score of each validated epoch; one that is NaN is told, not reported.

    Its place in the list of callbacks is after the history is written, so that the epoch a trial was
    given up after is in it, and before the checkpoint is: a trial that is killed in between reports
    the epoch once more when it is taken up, rather than never.

    Args:
        trial: The way to the study; None on ranks other than 0, and where nobody listens.
        metric: Key of the score, such as `val/miou_present`.
        prunes: Whether the scores of epochs may end the training; else they are told as progress
            only. The same on all ranks, which ask and leave together.
    """

    def __init__(self, trial: TrialChannel | None, metric: str, prunes: bool = True) -> None:
        self.trial = trial
        self.metric = metric
        self.prunes = prunes
        self._stepped = False

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Tell that the first optimizer step is done: from here on the device is at work."""
        if self.trial is not None and not self._stepped:
            self._stepped = True
            self.trial.progress(
                epoch=trainer.current_epoch, max_epochs=trainer.max_epochs, first_step=True
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch; leave where the study says so.

        After the last epoch nothing is left to save, so the trial is finished whatever the answer.

        Raises:
            TrialPrunedError: The study gives the trial up.
        """
        value = self._score(trainer, pl_module)
        epoch = trainer.current_epoch
        if self.trial is not None:
            facts = {} if value is None else {"metric": self.metric, "value": value}
            self.trial.progress(epoch=epoch, max_epochs=trainer.max_epochs, **facts)
        if not self.prunes or value is None or math.isnan(value):
            return
        given_up = self.trial is not None and self.trial.report(value, epoch)
        # Were rank 0 to leave alone, the others would wait for it in the next step.
        given_up = trainer.strategy.broadcast(given_up)
        is_last = trainer.should_stop or epoch + 1 == trainer.max_epochs
        if given_up and not is_last:
            raise TrialPrunedError(
                f"given up by its study after epoch {epoch}: {self.metric} {value:.4f}"
            )

    def _score(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> float | None:
        result = as_module(pl_module).result
        return float(result.scores[self.metric]) if is_validated(trainer) and result else None
