"""One effective batch through a device that may hold only part of it at once.

`data.batch_size` is the batch of one optimizer step, whatever the device holds. The parts of a batch
count in each term of the loss by what that term divides by, so where it is a mean over images or
pixels the accumulated gradient is the gradient of the whole batch; `whole_batch` is for the others.
Batch normalisation still sees the parts: its statistics are those of the micro-batch. So the size
decides results, and the sizes that are tried depend on the batch alone: it, its half, a quarter and
so on.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from seglab.core.errors import TrainingError

log = logging.getLogger(__name__)

# What allocators say when they have no exception class of their own.
_OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
# All that oneDNN says on a CPU when it gets no scratch memory. Something else may be wrong, but then
# it is wrong with a single image too, and the error ends with these words.
_ONEDNN_FAILURE = "could not create a primitive"

# The optimizer makes its state in the first step; a size that went through a few needs no more.
SURE_AFTER = 3

BackwardFn = Callable[[Tensor], None]
LossFn = Callable[[Tensor, Tensor], Tensor]
ContextFn = Callable[[bool], AbstractContextManager[object]]
FailureFn = Callable[[int, int], None]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that an allocation failed, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    message = str(error).lower().strip()
    return message == _ONEDNN_FAILURE or any(words in message for words in _OUT_OF_MEMORY_WORDS)


def part_sizes(batch_size: int, size: int | None, min_size: int = 1) -> list[int]:
    """Return how many images each part of a batch has: as few parts as fit, as even as can be.

    Args:
        batch_size: Images to share out.
        size: Most images in a part; None: the whole batch is one part.
        min_size: Fewest images in a part, which goes before `size`.
    """
    count = min(-(-batch_size // (size or batch_size)), batch_size // min_size) or 1
    return [(part + 1) * batch_size // count - part * batch_size // count for part in range(count)]


class MicroBatcher:
    """Runs forward and backward over the parts of a batch; halves the part when memory runs out.

    Args:
        size: Images a device holds at once; None for the whole batch.
        min_size: Fewest images the model can train on, 2 where a pooled feature has one pixel and
            batch norm needs more.
        can_halve: False under DDP, where one process cannot change its course alone.
        on_failure: Told of each attempt that ran out of memory: images of the batch, and how many
            of them were to be held at once.
    """

    def __init__(
        self,
        size: int | None = None,
        min_size: int = 1,
        can_halve: bool = True,
        on_failure: FailureFn | None = None,
    ) -> None:
        self.size = size if size is None else max(size, min_size)
        self.min_size = min_size
        self.can_halve = can_halve
        self.on_failure = on_failure
        self._steps = 0

    @property
    def may_fail(self) -> bool:
        """Whether a batch may have to be tried again: it fitted in too few steps yet."""
        return self.can_halve and self._steps < SURE_AFTER

    def sizes(self, batch_size: int) -> list[int]:
        """Return how many images each part of a batch has."""
        return part_sizes(batch_size, self.size, self.min_size)

    def largest_part(self, batch_size: int) -> int:
        """Return how many images of a batch are held at once."""
        return max(self.sizes(batch_size))

    def accumulate(
        self,
        image: Tensor,
        mask: Tensor,
        weights: Tensor | None,
        loss_fn: LossFn,
        backward: BackwardFn,
        reset: Callable[[], None],
        sync: ContextFn | None = None,
    ) -> Tensor:
        """Accumulate the gradient of one batch.

        Args:
            image: Float `(B, C, H, W)`.
            mask: Integer `(B, H, W)`.
            weights: Share of each image in the batch's loss, `(B,)`, or in each of its terms,
                `(B, K)`, float; None: what `loss_fn` returns is the part's share already.
            loss_fn: Maps a part's image and mask to its loss, a scalar or its terms `(K,)`.
            backward: Called with each weighted part loss, a scalar.
            reset: Puts gradients, random state and statistics back before a batch is tried (again).
            sync: Context for each part, given whether it is the last (DDP reduces gradients there).

        Returns:
            Detached loss of the batch, or its terms: the weighted sum of its parts' losses.

        Raises:
            TrainingError: Not even a single image fits, or the batch does not fit under DDP.
        """
        while True:
            reset()
            failure = self._attempt(image, mask, weights, loss_fn, backward, sync)
            if isinstance(failure, Tensor):
                self._steps += 1
                return failure
            self._steps = 0
            # Out of the handler, so that the failed attempt's tensors are free before the next.
            self._halve(image.shape[0], failure)

    def _attempt(
        self,
        image: Tensor,
        mask: Tensor,
        weights: Tensor | None,
        loss_fn: LossFn,
        backward: BackwardFn,
        sync: ContextFn | None,
    ) -> Tensor | str:
        batch_loss = torch.zeros((), device=image.device)
        try:
            for part, is_last in self._parts(image.shape[0]):
                with sync(is_last) if sync else nullcontext():
                    loss = loss_fn(image[part], mask[part])
                    loss = loss if weights is None else loss * weights[part].sum(0)
                    backward(loss.sum())
                batch_loss = batch_loss + loss.detach()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return str(error).splitlines()[0]
        return batch_loss

    def _parts(self, batch_size: int) -> Iterator[tuple[slice, bool]]:
        start = 0
        for size in self.sizes(batch_size):
            yield slice(start, start + size), start + size == batch_size
            start += size

    def _halve(self, batch_size: int, failure: str) -> None:
        if self.on_failure is not None:
            self.on_failure(batch_size, self.largest_part(batch_size))
        current = min(self.size or batch_size, batch_size)
        if not self.can_halve:
            remembered = ": a new run begins with less, or" if self.on_failure else ""
            raise TrainingError(
                f"out of memory with {current} images on one device ({failure}); several devices "
                f"cannot change midway{remembered} set "
                f"trainer.micro_batch_size={max(1, current // 2)} by hand"
            )
        if current <= self.min_size:
            few = "a single image" if current == 1 else f"only {current} images"
            raise TrainingError(
                f"out of memory with {few} ({failure}); "
                "make data.crop_size smaller or choose a smaller model"
            )
        self.size = max(current // 2, self.min_size)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            "out of memory with %d images at once (%s); going on with micro-batches of %d",
            current,
            failure,
            self.size,
        )
