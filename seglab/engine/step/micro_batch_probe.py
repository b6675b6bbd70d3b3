"""Tries out, before the first step, how much of a batch a device holds at once.

On one device no such probe is needed: the first real step is one, since a part that does not fit is
halved there and nothing of the failed attempt is left; where all fits it costs nothing. Under DDP a
rank cannot shrink alone, its gradients would be awaited in vain. So the ranks rehearse by
themselves, each with the same halving, and agree on the smallest size. On one device it may be asked
for, so that the very first step has the size of all others, also where the memory runs out only
later, when the optimizer has made its state.

What is rehearsed is two whole steps of the worst case, for real: forward, backward and optimizer
over a batch of the full size and crop. The size found is one that was run.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from seglab.core.errors import TrainingError
from seglab.engine.step.micro_batch import SURE_AFTER, MicroBatcher, is_out_of_memory
from seglab.engine.step.micro_batch_memory import MicroBatchMemory
from seglab.engine.step.module import SegmentationModule, as_module

log = logging.getLogger(__name__)

# The optimizer makes its state in the first step, so only the second one needs all there is.
_STEPS = 2


@dataclass(frozen=True)
class WorstCase:
    """The largest batch of a training, as one device sees it.

    Attributes:
        batch_size: Images of a step on one device.
        crop_hw: (H, W) of a crop.
    """

    batch_size: int
    crop_hw: tuple[int, int]

    def draw(self, module: SegmentationModule) -> tuple[Tensor, Tensor]:
        """Return random images and masks that hold every class, on the module's device."""
        labels, device = module.evaluator.labels, module.device
        shape = (self.batch_size, module.model.in_channels, *self.crop_hw)
        image = torch.rand(shape, device=device).to(memory_format=module.settings.memory_format)
        mask = torch.randint(labels.num_classes, (self.batch_size, *self.crop_hw), device=device)
        return image, mask


class MicroBatchKeeper(Callback):
    """Rehearses the worst case where asked to, and remembers what went through real steps.

    Args:
        worst_case: The batch to rehearse; None: no probe.
        memory: Where sizes that fit are noted, and need no probe; None: nowhere.
    """

    def __init__(self, worst_case: WorstCase | None, memory: MicroBatchMemory | None) -> None:
        self.worst_case = worst_case
        self.memory = memory
        self._steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the size, unless it is known or the run goes on from a checkpoint that has it.

        Raises:
            TrainingError: Nothing fits, here or on another rank.
        """
        module = as_module(pl_module)
        if self.worst_case is None or trainer.global_step:
            return
        # Another process may have written meanwhile, so ranks may know different things.
        due = torch.tensor(float(not self._is_known(module)), device=module.device)
        if not trainer.strategy.reduce(due, reduce_op="sum") > 0:
            return
        size, failure = 0, None
        try:
            size = find_fitting_size(
                module, self.worst_case, trainer.precision_plugin.train_step_context
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            failure = error
        agreed = torch.tensor(float(size), device=module.device)
        smallest = int(trainer.strategy.reduce(agreed, reduce_op="min"))
        if not smallest:
            raise failure or TrainingError("not even the fewest images fit on another device")
        if smallest < self.worst_case.batch_size:
            module.micro_batcher.size = smallest
            log.info("every device holds %d images at once", smallest)

    def _is_known(self, module: SegmentationModule) -> bool:
        assert self.worst_case is not None  # noqa: S101 - asked before
        count = self.worst_case.batch_size
        pair = (count, module.micro_batcher.largest_part(count))
        return self.memory is not None and self.memory.known().fit(pair)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Note the size once steps with the optimizer's whole state have gone through."""
        self._steps += 1
        if self.memory is None or self._steps != SURE_AFTER or not trainer.is_global_zero:
            return
        count = len(batch["image"])
        self.memory.note_fit(count, as_module(pl_module).micro_batcher.largest_part(count))


def find_fitting_size(
    module: SegmentationModule,
    worst_case: WorstCase,
    context: Callable[[], AbstractContextManager[Any]],
) -> int:
    """Return how many images of the worst case fit at once, by running steps of it.

    The module is left as it was: weights, batch-norm statistics and random state bit by bit, no
    gradient, no optimizer state.

    Args:
        module: On its device; its own micro-batcher says where to begin and takes no harm.
        worst_case: What to run.
        context: Precision of a training step.

    Raises:
        TrainingError: Not even the fewest images fit.
    """
    own = module.micro_batcher
    batcher = MicroBatcher(own.size, own.min_size, on_failure=own.on_failure)
    with _unharmed(module.model), context():
        _rehearse(module, worst_case, batcher)
    return min(batcher.size or worst_case.batch_size, worst_case.batch_size)


def _rehearse(module: SegmentationModule, worst_case: WorstCase, batcher: MicroBatcher) -> None:
    optimizer = module.new_optimizer()
    image, mask = worst_case.draw(module)
    weights = torch.full((len(image),), 1 / len(image), device=image.device)
    # The other ranks rehearse by themselves; what they would send is as large as what is here.
    exact = module.whole_batch_loss(
        gather=lambda value: torch.cat([value] * module.trainer.world_size)
    )

    def reset() -> None:
        optimizer.zero_grad(set_to_none=True)
        if exact is not None:
            exact.start(image, mask, batcher.sizes(len(image)))

    for _ in range(_STEPS):
        batcher.accumulate(
            image,
            mask,
            weights,
            loss_fn=exact or (lambda image, mask: module.loss(module.model(image), mask)),
            # Not Lightning's: under DDP that would wait for the other ranks.
            backward=lambda loss: loss.backward(),
            reset=reset,
        )
        optimizer.step()


@contextmanager
def _unharmed(model: nn.Module) -> Iterator[None]:
    """Put weights, buffers and random state back; free what was made meanwhile."""
    # On the CPU, or the copy would take the memory that is to be measured.
    before = {name: value.to("cpu", copy=True) for name, value in _tensors(model)}
    device = next(model.parameters()).device
    gpus = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        for parameter in model.parameters():
            parameter.grad = None
        with torch.no_grad():
            for name, value in _tensors(model):
                value.copy_(before[name])
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
