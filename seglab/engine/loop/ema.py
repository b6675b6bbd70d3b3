"""An exponential moving average of the weights, validated and kept in place of the raw ones.

References:
    Abadi et al. (2016): https://arxiv.org/abs/1605.08695
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class WarmEma(WeightAveraging):
    """Lightning's weight averaging with a decay that warms up.

    The decay after n updates is `min(decay, (1 + n) / (10 + n))`, as in TensorFlow's
    ExponentialMovingAverage (Abadi et al., 2016): a fixed 0.999 would leave half of the random
    initial weights in the average after 700 steps, which is a whole run on a small data set.
    Buffers (batch-norm statistics) are averaged with the weights.
    The average is a pure function of the steps taken, so a resumed run gets the same.

    Args:
        decay: Limit of the decay, in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        super().__init__()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average beside the weights.

        Lightning makes it before the weights are on their device: there it would stay on the CPU, and all
        weights would be copied there in every step.
        """
        average = self._average_model
        assert average is not None  # noqa: S101 - made in `setup`
        average.to(pl_module.device)
        # Only checkpoints need the counter; on a GPU, reading it would wait for the step.
        average.n_averaged = average.n_averaged.cpu()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Take the weights of a step into the average; torch's own way reads the counter each time."""
        average = self._average_model
        if average is None or trainer.global_step <= self._latest_update_step:
            return
        averaged = [*average.module.parameters(), *average.module.buffers()]
        current = [*pl_module.parameters(), *pl_module.buffers()]
        self.take(averaged, current, self._latest_update_step)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step

    @torch.no_grad()
    def take(self, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: int) -> None:
        """Move averages towards the present values, in place.

        Args:
            averaged: Any tensors; those of whole numbers, such as the batches a batch norm has seen, have no
                average and are copied.
            current: As many, of the same shapes and dtypes.
            updates: How often this was done before; the first time everything is copied.
        """
        weight = 1.0 - min(self.decay, (1.0 + updates) / (10.0 + updates))
        moves = [updates > 0 and one.is_floating_point() for one in averaged]
        stays = [not one for one in moves]
        if any(moves):
            old, new = compress(averaged, moves), compress(current, moves)
            torch._foreach_lerp_(list(old), list(new), weight)
        if any(stays):
            torch._foreach_copy_(list(compress(averaged, stays)), list(compress(current, stays)))
