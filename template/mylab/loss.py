"""A loss: `loss(logits, mask)` is a scalar; pixels of `ignore_index` count nowhere."""

import torch
from torch import Tensor, nn


class HingeLoss(nn.Module):
    """Mean over the pixels of how far the target's logit misses a margin over the best other one."""

    def __init__(
        self, ignore_index: int, class_weights: Tensor | None = None, margin: float = 1.0
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.margin = margin
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits `(B, C, H, W)` and a mask `(B, H, W)`."""
        valid = mask != self.ignore_index
        target = torch.where(valid, mask, 0)
        right = logits.gather(1, target[:, None])
        others = logits.scatter(1, target[:, None], -torch.inf)
        missed = (self.margin - right[:, 0] + others.amax(1)).relu()
        weight = valid.to(logits)
        if self.class_weights is not None:
            weight = weight * self.class_weights.to(logits)[target]
        total = weight.sum()
        return (missed * weight).sum() / torch.where(total > 0, total, 1)
