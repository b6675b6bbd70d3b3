"""The LightningModule: one step of training, one step of evaluation, nothing else.

Optimisation is manual because seglab owns three things inside a step: accumulation over
micro-batches that may shrink when memory runs out, randomness that depends on (seed, step) alone,
and schedules whose state is in every checkpoint, plateau included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seglab.core.labels import LabelSpace
from seglab.core.seeding import derive_seed
from seglab.engine.batches import Batch, BatchPreparer, DeviceAugmentFn
from seglab.engine.epoch_loss import EpochLoss
from seglab.engine.evaluation import EvalResult, Evaluator
from seglab.engine.micro_batch import MicroBatcher
from seglab.models import Segmenter
from seglab.optim import ScheduledLR

OptimizerFactory = Callable[[nn.Module], torch.optim.Optimizer]
SchedulerFactory = Callable[[torch.optim.Optimizer], ScheduledLR]


@dataclass(frozen=True)
class StepSettings:
    """What a step needs to know beside model and loss."""

    seed: int = 0
    gradient_clip: float | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    monitor: str = "val/miou"


class SegmentationModule(pl.LightningModule):
    """Trains and evaluates a segmentation model.

    Args:
        model: Maps float images `(B, C, H, W)` to logits `(B, num_classes, H, W)`; has `mean`,
            `std`, `full_scale` and `size_divisor`.
        loss: Maps logits and int64 mask `(B, H, W)` to a scalar.
        labels: The label space that every score is named after.
        factories: Build the optimizer from the model, and the schedule from the optimizer.
        settings: Seed, clipping, memory format, monitored metric.
        micro_batcher: Splits batches that the device cannot hold.
        device_augment: Augments a training batch on the device; None where the workers did it.
    """

    def __init__(
        self,
        model: Segmenter,
        loss: nn.Module,
        labels: LabelSpace,
        factories: tuple[OptimizerFactory, SchedulerFactory],
        settings: StepSettings,
        micro_batcher: MicroBatcher,
        device_augment: DeviceAugmentFn | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model.to(memory_format=settings.memory_format)
        self.loss = loss
        self.prepare = BatchPreparer(
            model.mean, model.std, settings.memory_format, model.full_scale
        )
        self.settings = settings
        self.micro_batcher = micro_batcher
        self.evaluator = Evaluator(labels)
        self.evaluated_split = "val"
        # Of an evaluation: what happens to uint8 images before they are normalised.
        self.corrupt: Callable[[Tensor, Sequence[str]], Tensor] | None = None
        self.results: dict[str, EvalResult] = {}
        self.scheduled: ScheduledLR
        self._factories = factories
        self._device_augment = device_augment
        self.epoch_loss = EpochLoss()

    def configure_optimizers(self) -> Any:
        """Return optimizer and schedule; Lightning keeps their state, this module steps them."""
        optimizer = self.new_optimizer()
        self.scheduled = self._factories[1](optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduled.scheduler}}

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimizer of the model as training uses it, without any state yet."""
        return self._factories[0](self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep a micro-batch that had to shrink (batch norm sees its parts) and the epoch's loss."""
        checkpoint["micro_batch_size"] = self.micro_batcher.size
        checkpoint["epoch_loss"] = self.epoch_loss.total(self.trainer.strategy)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the micro-batch and the epoch's loss of the run that is resumed."""
        self.micro_batcher.size = checkpoint["micro_batch_size"]
        self.epoch_loss.restore(checkpoint["epoch_loss"], self.global_rank)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment where that is the device's work, normalise."""
        if self.trainer.training and self._device_augment is not None:
            batch = self._device_augment(batch)
        if self.corrupt is not None:
            batch = {**batch, "image": self.corrupt(batch["image"], batch["sample_id"])}
        return self.prepare(batch)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's mean loss anew."""
        self.epoch_loss.reset()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take one optimizer step on one effective batch; return its detached loss."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)  # noqa: S101 - there is one, by construction
        num_valid = (batch["mask"] != self.evaluator.labels.ignore_index).flatten(1).sum(1).float()
        # DDP averages the ranks' gradients; with this share each valid pixel of the batch counts alike.
        share = num_valid.sum()
        if self.trainer.world_size > 1:
            share = self.trainer.strategy.reduce(share.clone(), reduce_op="mean")

        # An attempt that fails half-way has moved the batch-norm statistics.
        statistics = list(self.model.buffers()) if self.micro_batcher.may_fail else []
        before = [buffer.clone() for buffer in statistics]

        def reset() -> None:
            for buffer, value in zip(statistics, before, strict=True):
                buffer.copy_(value)
            optimizer.zero_grad(set_to_none=True)
            torch.manual_seed(
                derive_seed(self.settings.seed, "step", self.global_step, self.global_rank)
            )

        loss = self.micro_batcher.run(
            batch["image"], batch["mask"], num_valid / share.clamp(min=1.0),
            loss_fn=lambda image, mask: self.loss(self.model(image), mask),
            backward=self.manual_backward, reset=reset, sync=self._gradient_sync,
        )  # fmt: skip
        optimizer.step()
        if self.scheduled.interval == "step":
            self.scheduled.scheduler.step()
        self.epoch_loss.add(loss * share, num_valid.sum())
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here: gradients are unscaled by now under fp16."""
        if self.settings.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)

    def _gradient_sync(self, is_last: bool) -> AbstractContextManager[object]:
        wrapped = self.trainer.model
        if isinstance(wrapped, DistributedDataParallel) and not is_last:
            return wrapped.no_sync()
        return nullcontext()

    def on_validation_epoch_start(self) -> None:
        """Forget former counts; under DDP take rank 0's batch-norm statistics everywhere."""
        self.evaluator.reset()
        if self.trainer.world_size > 1:
            for buffer in self.model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one batch at the masks' own size; the same code in training and in `evaluate`."""
        self.evaluator.update(self.model, self.loss, batch)

    def on_validation_epoch_end(self) -> None:
        """Gather the counts of all ranks and log the scores of the evaluated split."""
        result = self.evaluator.compute(self.evaluated_split)
        self.results[self.evaluated_split] = result
        self.log_dict(result.scores)
        if self.trainer.state.fn == "fit" and self.scheduled.interval == "epoch":
            self.scheduled.step_epoch(result.scores[self.settings.monitor])


def as_module(pl_module: pl.LightningModule) -> SegmentationModule:
    """Return what Lightning hands to callbacks as what it is here."""
    if not isinstance(pl_module, SegmentationModule):
        raise TypeError(f"expected a SegmentationModule, got {type(pl_module).__name__}")
    return pl_module
