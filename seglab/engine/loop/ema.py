"""An exponential moving average of the weights, validated and kept in place of the raw ones.

References:
    Abadi et al. (2016): https://arxiv.org/abs/1605.08695
"""

from __future__ import annotations

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
        super().__init__(multi_avg_fn=self._average)

    @torch.no_grad()
    def _average(
        self, averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor | int
    ) -> None:
        # Called once a dtype. Counters, such as the batches a batch norm has seen, have no average.
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(list(averaged), list(current))
            return
        count = float(num_averaged)
        weight = 1.0 - min(self.decay, (1.0 + count) / (10.0 + count))
        torch._foreach_lerp_(list(averaged), list(current), weight)
