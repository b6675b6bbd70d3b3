"""Callbacks around the training loop: what is written down, and when it has to stop."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from seglab.core.disk.files import write_json
from seglab.core.errors import SeglabError, TrainingError
from seglab.engine.loop.checkpoint import CheckpointWriter, is_validated
from seglab.engine.step.module import SegmentationModule, as_module
from seglab.runs import RunRecord

log = logging.getLogger(__name__)

_CHECK_EVERY_ON_GPU = 20


# The step may take long, and after the last one of an epoch comes a validation.
_STOPPING = (
    b"\nstopping after this step, or this epoch where it was the last; Ctrl-C again stops at once\n"
)


class TrainingInterruptedError(SeglabError):
    """The user or the scheduler asked the run to stop; it was saved first."""

    exit_code = 130


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the body as an interruption, also outside of training.

    Lightning answers Ctrl-C during an evaluation with `SystemExit(1)` and deafens the process to the
    next one; both are undone here.

    Raises:
        TrainingInterruptedError: The body was asked to stop.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if in_main_thread:
            signal.signal(signal.SIGTERM, _raise_interrupt)
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise TrainingInterruptedError("stopped by a signal during evaluation") from error
        raise
    except KeyboardInterrupt as error:
        raise TrainingInterruptedError("stopped by a signal") from error
    finally:
        if in_main_thread:
            for number, handler in former.items():
                signal.signal(number, handler)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class EpochSink(Protocol):
    """Anything that wants the numbers of a run while it trains, such as the W&B view."""

    def log_step(self, metrics: dict[str, float], step: int) -> None:
        """Take numbers of one optimizer step."""

    def log_epoch(self, row: dict[str, Any], step: int) -> None:
        """Take the row of one epoch."""


class HistoryWriter(Callback):
    """Writes one row per epoch to the record and to the sinks; a few numbers every N steps.

    Args:
        record: Run record, or None on ranks that do not write.
        sinks: Views that get the same numbers.
        every_n_steps: Optimizer steps between step rows.
    """

    def __init__(
        self, record: RunRecord | None, sinks: Sequence[EpochSink], every_n_steps: int = 20
    ) -> None:
        self.record = record
        self.sinks = sinks
        self.every_n_steps = every_n_steps
        self._epoch_started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Pass loss and learning rates on every N steps."""
        if not self.sinks or trainer.global_step % self.every_n_steps:
            return
        row = {"train/loss_step": float(outputs["loss"]), **learning_rates(trainer)}
        for sink in self.sinks:
            sink.log_step(row, trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's row: training loss, scores, rates, time."""
        row = self._row(trainer, as_module(pl_module))
        if self.record is not None:
            self.record.log_epoch(row)
        for sink in self.sinks:
            sink.log_epoch(row, trainer.global_step)

    def _row(self, trainer: pl.Trainer, module: SegmentationModule) -> dict[str, Any]:
        # The epoch a run was resumed in has no start here, so its time is not known.
        started = self._epoch_started
        seconds = None if started is None else time.perf_counter() - started
        scores = module.result.scores if is_validated(trainer) and module.result else {}
        return {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "train/loss": module.epoch_loss.mean(),
            **learning_rates(trainer),
            "seconds": seconds,
            **scores,
        }


def learning_rates(trainer: pl.Trainer) -> dict[str, float]:
    """Return the current rate of each named parameter group; groups that share a rate share a key."""
    groups = trainer.optimizers[0].param_groups
    return {f"lr/{group.get('name', 'all').split('/')[0]}": float(group["lr"]) for group in groups}


class FiniteLossGuard(Callback):
    """Stops a run whose loss is NaN or infinite, and says which samples did it.

    The loss is looked at once a step on a CPU. On a GPU that would wait for the device each step,
    so the last losses are kept there and looked at together.

    Args:
        record: Run record that gets `bad_batch.json`, or None.
    """

    def __init__(self, record: RunRecord | None) -> None:
        self.record = record
        self._recent: deque[tuple[int, torch.Tensor, list[str]]] = deque(maxlen=_CHECK_EVERY_ON_GPU)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Remember the step's loss; look at the remembered ones when it is cheap or due."""
        loss = outputs["loss"]
        self._recent.append((trainer.global_step, loss, batch["sample_id"]))
        full = len(self._recent) == self._recent.maxlen
        if loss.device.type == "cpu" or full or trainer.is_last_batch:
            self.check()

    def check(self) -> None:
        """Look at the losses not looked at yet; called before a checkpoint is written, too.

        Raises:
            TrainingError: One of them is not finite.
        """
        if not self._recent or bool(
            torch.stack([loss for _, loss, _ in self._recent]).isfinite().all()
        ):
            self._recent.clear()
            return
        step, loss, sample_ids = next(row for row in self._recent if not row[1].isfinite())
        where = ""
        if self.record is not None:
            path = self.record.run_dir / "bad_batch.json"
            write_json(path, {"step": step, "loss": str(float(loss)), "sample_id": sample_ids})
            where = f"; the batch is in {path}"
        raise TrainingError(
            f"the loss became {float(loss)} at step {step}{where}. Lower optimizer.lr, set "
            "trainer.gradient_clip=1.0 or trainer.precision=fp32, and look at these samples: "
            + ", ".join(sample_ids[:8])
        )


class ResumableEarlyStopping(EarlyStopping):
    """Lightning's early stopping that says and remembers that it stopped, and passes over NaN.

    A run interrupted after the stop, during its final evaluation, must not train on when resumed.
    A validation without a score (NaN) says nothing about the model: it neither ends the training,
    as it would by Lightning's default, nor counts as one without gain.

    Args:
        *args: Lightning's.
        begins_anew_at: Optimizer step from which a run that was given more epochs goes on. Its patience
            begins anew there, or a run that had stopped early would stop at once.
        **kwargs: Lightning's.
    """

    def __init__(self, *args: Any, begins_anew_at: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begins_anew_at = begins_anew_at

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count a validation that has a score; say so where patience runs out."""
        if math.isnan(float(trainer.callback_metrics.get(self.monitor, math.nan))):
            return
        super().on_validation_end(trainer, pl_module)
        if self.wait_count >= self.patience and trainer.is_global_zero:
            log.info(
                "stopped early after epoch %d: no gain over %s %.4f in %d validations "
                "(callbacks.early_stopping)",
                trainer.current_epoch,
                self.monitor,
                self.best_score,
                self.wait_count,
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where patience had run out before, unless the run has more epochs now."""
        if trainer.global_step == self.begins_anew_at:
            self.wait_count = 0
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class InterruptGuard(Callback):
    """Turns Ctrl-C and SIGTERM into: finish the step, save, stop. A second Ctrl-C stops at once.

    Args:
        writer: Saves the checkpoint to resume from.
    """

    def __init__(self, writer: CheckpointWriter) -> None:
        self.writer = writer
        self._signal: int | None = None
        self._former: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals; Lightning has set its own by now."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal is None:
            # Written past the stream and its logger: the signal may have come amid a line of theirs.
            with suppress(OSError):
                os.write(2, _STOPPING)
        self._signal = number

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        while self._former:
            number, handler = self._former.popitem()
            # Lightning may have put back what was there before it came.
            if signal.getsignal(number) == self._remember:
                signal.signal(number, handler)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save and stop between two steps; after an epoch's last step the epoch is finished first."""
        if not trainer.is_last_batch and self._must_stop(trainer):
            self.writer.save_last(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the epoch; saved here because the writer's turn comes later."""
        if self._must_stop(trainer):
            self.writer.on_train_epoch_end(trainer, pl_module)
            self._stop(trainer)

    def _must_stop(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            return self._signal is not None
        # Ranks get the signal at different steps; they stop together or would wait for each other.
        flag = torch.tensor(float(self._signal is not None), device=trainer.strategy.root_device)
        return bool(trainer.strategy.reduce(flag, reduce_op="sum") > 0)

    def _stop(self, trainer: pl.Trainer) -> None:
        name = signal.Signals(self._signal).name if self._signal else "a signal on another rank"
        raise TrainingInterruptedError(
            f"stopped by {name} at step {trainer.global_step}, saved to {self.writer.last_path}"
        )
