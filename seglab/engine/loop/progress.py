"""How a person watches a run: a live bar on a terminal, plain lines elsewhere.

Elsewhere (a log, CI, ssh without a terminal) an epoch ends with one line, and a long one says every
few seconds how far it is, so that a slow run can be told from one that hangs.
"""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from seglab.core.text.terminal import LONGEST_SILENCE_S, say
from seglab.engine.options import ProgressMode
from seglab.engine.step.module import as_module


class RunProgress(Callback):
    """Shows steps of the whole run with the time left, and a line of scores per epoch.

    The time left counts validation too: it comes from the time of the last epoch, so neither a slow
    start nor an earlier session of a resumed run distorts it.

    Args:
        console: Where to write.
        monitor: Key of the score to show.
        mode: `rich` live bar, `plain` lines, `off`; `auto` takes the bar on a terminal only.
    """

    def __init__(self, console: Console, monitor: str, mode: ProgressMode = "auto") -> None:
        self.console = console
        self.monitor = monitor
        self.mode = ("rich" if console.is_terminal else "plain") if mode == "auto" else mode
        self._progress: Progress | None = None
        self._task: Any = None
        self._mark = (0, 0.0)
        self._spoke = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step the run starts or goes on from."""
        self._mark = (trainer.global_step, time.perf_counter())
        self._spoke = self._mark[1]
        if self.mode != "rich" or not trainer.is_global_zero:
            return
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            speed_estimate_period=600,
        )
        self._progress.start()
        total = (trainer.max_epochs or 0) * int(trainer.num_training_batches)
        self._task = self._progress.add_task("training", total=total, completed=trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Advance the bar, or say how far the epoch is; the loss stays on its device."""
        if self._progress is not None:
            text = f"epoch {trainer.current_epoch} of {trainer.max_epochs}"
            self._progress.update(self._task, completed=trainer.global_step, description=text)
        self._break_silence(trainer, "step", batch_idx + 1, trainer.num_training_batches)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the bar stands still because the model is validated."""
        if self._progress is not None:
            self._progress.update(self._task, description="validating")

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Say how far the validation is."""
        total = trainer.num_val_batches[dataloader_idx]
        self._break_silence(trainer, "validating, batch", batch_idx + 1, total)

    def _break_silence(self, trainer: pl.Trainer, what: str, done: int, total: float) -> None:
        now = time.perf_counter()
        if (
            self.mode != "plain"
            or not trainer.is_global_zero
            or now - self._spoke < LONGEST_SILENCE_S
        ):
            return
        self._spoke = now
        say(self.console, f"{_epoch(trainer)}  {what} {done} of {total:.0f}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's line with the time left."""
        loss = as_module(pl_module).epoch_loss.mean()
        if self.mode == "off" or not trainer.is_global_zero:
            return
        self._spoke = time.perf_counter()
        metrics = trainer.callback_metrics
        scores = "".join(
            f"  {key} {float(metrics[key]):.4f}"
            for key in ("val/loss", self.monitor)
            if key in metrics
        )
        left = self._time_left(trainer)
        say(self.console, f"{_epoch(trainer)}  train/loss {loss:.4f}{scores}  left {left}")

    def _time_left(self, trainer: pl.Trainer) -> str:
        (step, moment), self._mark = self._mark, (trainer.global_step, time.perf_counter())
        seconds_per_step = (self._mark[1] - moment) / max(trainer.global_step - step, 1)
        total = (trainer.max_epochs or 0) * int(trainer.num_training_batches)
        left = seconds_per_step * max(total - trainer.global_step, 0)
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar, so that the message is not written over it."""
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _epoch(trainer: pl.Trainer) -> str:
    return f"epoch {trainer.current_epoch:>3} ({trainer.current_epoch + 1}/{trainer.max_epochs})"
