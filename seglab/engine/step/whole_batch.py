"""Losses that need the whole batch at once, where a batch runs in parts.

Dice over a batch, Lovasz or the hardest pixels of a batch are no means over images: no weights make
the parts add up to the whole. But a part needs no more from the others than the gradient of its own
logits, and logits are small beside what a backward pass keeps. So a first pass without gradients
finds the logits of all parts, the loss is computed over all of them, on all devices, and a second
pass takes each part's gradient on from its logits (Gao et al., 2021, "Scaling deep contrastive
learning batch size under memory limited setup"). That is exact for every loss and costs a second
forward pass, about a third of a step; a device that holds its share in one part needs none.

References:
    Gao et al. (2021): https://arxiv.org/abs/2101.06983
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

# What `trainer.whole_batch_losses` may be.
WholeBatchLosses = Literal["approximate", "exact", "refuse"]


class WholeBatchLoss:
    """The loss of one whole batch, and what each part adds to its gradient.

    Called with the parts of a batch in their order, as `MicroBatcher` does; the first call computes
    the loss.

    Args:
        model: Its buffers (batch-norm statistics) must not see a part twice.
        forward: Maps the images of a part and its number to logits, with the same random numbers
            each time.
        loss: Maps logits and mask of all images to the losses of the terms, `(K,)`.
        gather: Returns a tensor of all ranks in their order, `(R * B, ...)`, without gradient.
        rank: This process's place in that order.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor, int], Tensor],
        loss: Callable[[Tensor, Tensor], Tensor],
        gather: Callable[[Tensor], Tensor],
        rank: int = 0,
    ) -> None:
        self._model = model
        self._forward = forward
        self._loss = loss
        self._gather = gather
        self._rank = rank
        #: Losses of the terms over the whole batch `(K,)`, detached; there after the first part.
        self.terms: Tensor

    def start(self, image: Tensor, mask: Tensor, sizes: list[int]) -> None:
        """Say what the batch is, before its first part and when it is tried again.

        Args:
            image: Float `(B, C, H, W)`, this rank's share.
            mask: int64 `(B, H, W)`.
            sizes: Images of each part, in their order.
        """
        self._batch = (image, mask, sizes)
        self._number = 0
        self._gradients: tuple[Tensor, ...] = ()
        self._kept: Tensor | None = None

    def __call__(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return a scalar whose gradient is that of the next part; its value means nothing."""
        if self._number == 0:
            self._look_at_all()
        logits = self._forward(image, self._number) if self._kept is None else self._kept
        gradient = self._gradients[self._number]
        self._number += 1
        return (logits.to(gradient) * gradient).sum()

    def _look_at_all(self) -> None:
        image, mask, sizes = self._batch
        # A single part is not run twice.
        self._kept = self._forward(image, 0) if len(sizes) == 1 else None
        logits = self._logits_of(image, sizes) if self._kept is None else self._kept.detach()
        # In half precision a gradient that is not scaled yet would vanish.
        logits = self._gather(logits if logits.dtype == torch.float64 else logits.float())
        logits.requires_grad_()
        terms = self._loss(logits, self._gather(mask))
        (gradient,) = torch.autograd.grad(terms.sum(), logits)
        self.terms = terms.detach()
        own = gradient[self._rank * len(image) :][: len(image)]
        # DDP averages what the ranks add.
        self._gradients = (own * (len(logits) // len(image))).split(sizes)

    @torch.no_grad()
    def _logits_of(self, image: Tensor, sizes: list[int]) -> Tensor:
        before = [buffer.clone() for buffer in self._model.buffers()]
        parts = [self._forward(part, number) for number, part in enumerate(image.split(sizes))]
        for buffer, value in zip(self._model.buffers(), before, strict=True):
            buffer.copy_(value)
        # Older versions of torch keep the weights that autocast has cast here, without a graph.
        torch.clear_autocast_cache()
        return torch.cat(parts)
