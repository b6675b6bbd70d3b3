"""The LightningModule that is trained: one step of training, one of validation, nothing else.

Optimisation is manual because seglab owns three things inside a step: accumulation over
micro-batches that may shrink when memory runs out, randomness that depends on (seed, step) alone,
and schedules whose state is in every checkpoint, plateau included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler

from seglab.core.errors import ConfigError
from seglab.core.labels import LabelSpace
from seglab.core.seeding import derive_seed
from seglab.engine.step.batches import Batch, BatchPreparer, DeviceAugmentFn
from seglab.engine.step.epoch_loss import EpochLoss
from seglab.engine.step.evaluation import EvalResult, Evaluator
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.engine.step.whole_batch import WholeBatchLoss, WholeBatchLosses
from seglab.inference.depthwise import fp32_depthwise_gradients
from seglab.inference.deterministic import deterministic_forms, wanted_on
from seglab.losses import WeightedSum
from seglab.losses.loss_inputs import safe_divide
from seglab.metrics.names import MIOU_PRESENT, metric_key
from seglab.metrics.wrapped import WrappedMetric
from seglab.models import Segmenter
from seglab.optim import step_after_batch, step_after_validation

log = logging.getLogger(__name__)

OptimizerFactory = Callable[[nn.Module], torch.optim.Optimizer]
SchedulerFactory = Callable[[torch.optim.Optimizer], LRScheduler]


@dataclass(frozen=True)
class StepSettings:
    """What a step needs to know beside model and loss."""

    seed: int = 0
    gradient_clip: float | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    monitor: str = metric_key("val", MIOU_PRESENT)
    whole_batch_losses: WholeBatchLosses = "approximate"


class SegmentationModule(pl.LightningModule):
    """Trains a segmentation model and validates it on the way.

    Args:
        model: Maps float images `(B, C, H, W)` to logits `(B, num_classes, H, W)`; has `mean`,
            `std`, `full_scale` and `size_divisor`.
        loss: Maps logits and integer mask `(B, H, W)` to the losses of its terms.
        labels: The label space that every score is named after.
        factories: Build the optimizer from the model, and the schedule from the optimizer.
        settings: Seed, clipping, memory format, monitored metric, losses of whole batches.
        micro_batcher: Splits batches that the device cannot hold.
        device_augment: Augments a training batch on the device; None where the workers did it.
        extra_metrics: Scores of one's own beside ours.

    Attributes:
        result: What the last validation found; None before the first.
    """

    def __init__(
        self,
        model: Segmenter,
        loss: WeightedSum,
        labels: LabelSpace,
        factories: tuple[OptimizerFactory, SchedulerFactory],
        settings: StepSettings,
        micro_batcher: MicroBatcher,
        device_augment: DeviceAugmentFn | None = None,
        extra_metrics: Sequence[WrappedMetric] = (),
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
        self.evaluator = Evaluator(labels, loss.num_terms, extra=extra_metrics)
        self.result: EvalResult | None = None
        self.scheduler: LRScheduler
        self._factories = factories
        self._device_augment = device_augment
        self.epoch_loss = EpochLoss()
        self._said = False

    def configure_optimizers(self) -> Any:
        """Return optimizer and schedule; Lightning keeps their state, this module steps them."""
        optimizer = self.new_optimizer()
        self.scheduler = self._factories[1](optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler}}

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return an optimizer of the model as training uses it, without any state yet."""
        return self._factories[0](self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep a micro-batch that had to shrink (batch norm sees its parts) and the epoch's loss."""
        checkpoint["micro_batch_size"] = self.micro_batcher.size
        checkpoint["epoch_loss"] = self.epoch_loss.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the micro-batch and the epoch's loss of the run that is resumed."""
        self.micro_batcher.size = checkpoint["micro_batch_size"]
        # Former checkpoints have a list of two sums, which says nothing about the terms.
        if isinstance(checkpoint["epoch_loss"], dict):
            self.epoch_loss.load_state_dict(checkpoint["epoch_loss"])
        else:
            log.info("the checkpoint is of a former version: train/loss of its epoch begins here")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment where that is the device's work, normalise."""
        if self.trainer.training and self._device_augment is not None:
            batch = self._device_augment(batch)
        return self.prepare(batch)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's mean loss anew."""
        self.epoch_loss.reset()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take one optimizer step on one effective batch; return its detached loss."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)  # noqa: S101 - there is one, by construction
        image, mask = batch["image"], batch["mask"]
        weights = self.loss.term_weights(mask, self.evaluator.labels.num_classes)
        # DDP averages the ranks' gradients, so the average over ranks is what a term divides by.
        totals = self._mean_over_ranks(weights.sum(0))
        exact = self.whole_batch_loss()

        # An attempt that fails half-way has moved the batch-norm statistics.
        statistics = list(self.model.buffers()) if self.micro_batcher.may_fail else []
        before = [buffer.clone() for buffer in statistics]

        def reset() -> None:
            self._mind_the_parts(len(image))
            for buffer, value in zip(statistics, before, strict=True):
                buffer.copy_(value)
            optimizer.zero_grad(set_to_none=True)
            self._seed_step()
            if exact is not None:
                exact.start(image, mask, self.micro_batcher.sizes(len(image)))

        def forward(image: Tensor, mask: Tensor) -> Tensor:
            return self.loss.weighted_terms(self._logits(image), mask)

        losses = self.micro_batcher.accumulate(
            image,
            mask,
            None if exact else safe_divide(weights, totals),
            loss_fn=exact or forward,
            backward=self.manual_backward,
            reset=reset,
            sync=self._gradient_sync,
        )
        losses = self._mean_over_ranks(losses) if exact is None else exact.terms
        optimizer.step()
        step_after_batch(self.scheduler)
        self.epoch_loss.add(losses, totals)
        return losses.sum()

    def _logits(self, image: Tensor) -> Tensor:
        device = image.device
        with deterministic_forms(wanted_on(device)), fp32_depthwise_gradients(device):
            logits: Tensor = self.model(image)
        return logits

    def _mean_over_ranks(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        mean = self.trainer.strategy.reduce(value.clone(), reduce_op="mean")
        assert isinstance(mean, Tensor)  # noqa: S101 - a tensor stays one
        return mean

    def _seed_step(self, *part: int) -> None:
        seed = derive_seed(self.settings.seed, "step", self.global_step, self.global_rank, *part)
        seed_generators(seed, self.device)

    def whole_batch_loss(
        self, gather: Callable[[Tensor], Tensor] | None = None
    ) -> WholeBatchLoss | None:
        """Return what computes the loss over whole batches; None where their parts add up.

        Args:
            gather: Puts the ranks' tensors together; None: asks the other ranks for theirs.
        """
        if not self.loss.whole_batch_terms or self.settings.whole_batch_losses != "exact":
            return None

        def forward(image: Tensor, number: int) -> Tensor:
            # The first part goes on from the seed of the step, as without this.
            self._seed_step(*([number] if number else []))
            return self._logits(image)

        return WholeBatchLoss(
            self.model,
            forward,
            self.loss.weighted_terms,
            gather or self._of_all_ranks,
            self.global_rank,
        )

    def _of_all_ranks(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        gathered = self.all_gather(value)
        assert isinstance(gathered, Tensor)  # noqa: S101 - a tensor stays one
        return gathered.flatten(0, 1)

    def _mind_the_parts(self, batch_size: int) -> None:
        """Say once, or refuse, that the parts of this batch do not add up to it.

        Raises:
            ConfigError: They do not, and `trainer.whole_batch_losses` is `refuse`.
        """
        count, ranks = len(self.micro_batcher.sizes(batch_size)), self.trainer.world_size
        choice = self.settings.whole_batch_losses
        if not self.loss.whole_batch_terms or count * ranks == 1 or choice == "exact" or self._said:
            return
        self._said = True
        terms = ", ".join(f"loss.terms.{name}" for name in self.loss.whole_batch_terms)
        text = (
            f"{terms}: no mean over images, but the batch of {batch_size * ranks} runs in "
            f"{count * ranks} parts, whose gradients do not add up to that of the whole"
        )
        advice = "trainer.whole_batch_losses=exact (a second forward pass where a device has parts)"
        if choice == "refuse":
            raise ConfigError(f"{text}; set {advice}, or a data.batch_size that needs no parts")
        if self.trainer.is_global_zero:
            log.warning(
                "%s; they are added up as an approximation. To be exact set %s", text, advice
            )

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
        """Score one batch at the masks' own size, as `EvaluationModule` does."""
        self.evaluator.update(self.model, self.loss, batch)

    def on_validation_epoch_end(self) -> None:
        """Gather the counts of all ranks, log the scores, and let a schedule hear the monitored one."""
        self.result = self.evaluator.compute()
        self.log_dict(self.result.scores)
        step_after_validation(self.scheduler, self.result.scores[self.settings.monitor])


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of one device, as `torch.manual_seed` seeds those of all.

    That one writes a stack trace down for each kind of device that was not used yet, and keeps it: too
    much for every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def as_module(pl_module: pl.LightningModule) -> SegmentationModule:
    """Return what Lightning hands to callbacks as what it is here."""
    if not isinstance(pl_module, SegmentationModule):
        raise TypeError(f"expected a SegmentationModule, got {type(pl_module).__name__}")
    return pl_module
