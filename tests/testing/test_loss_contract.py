"""The contract of losses passes a plain loss and names what a faulty one gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.testing import LossContract


class Plain(nn.Module):
    """Cross-entropy as a user writes it: nothing of seglab in it."""

    def __init__(self, ignore_index: int, class_weights: Tensor | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.register_buffer("weight", class_weights)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(logits)
        losses = F.cross_entropy(
            logits, mask, weight, ignore_index=self.ignore_index, reduction="none"
        )
        valid = mask != self.ignore_index
        each = torch.ones_like(losses) if weight is None else weight[torch.where(valid, mask, 0)]
        total = (each * valid).sum()
        return losses.sum() / torch.where(total > 0, total, 1)


class TestPlain(LossContract):
    minimum = 0.0

    def build(self, **supplied: Any) -> nn.Module:
        del supplied["num_classes"]
        return Plain(**supplied)


def sum_over_pixels(logits: Tensor, mask: Tensor) -> Tensor:
    """Divides by all pixels, void ones too."""
    return F.cross_entropy(logits, mask, ignore_index=255, reduction="none").mean()


def sees_void(logits: Tensor, mask: Tensor) -> Tensor:
    """Takes void for class 0."""
    return F.cross_entropy(logits, torch.where(mask == 255, 0, mask))


def upside_down(logits: Tensor, mask: Tensor) -> Tensor:
    return -F.cross_entropy(logits, mask, ignore_index=255)


def per_image(logits: Tensor, mask: Tensor) -> Tensor:
    return F.cross_entropy(logits, mask, ignore_index=255, reduction="none").flatten(1)


def overflows(logits: Tensor, mask: Tensor) -> Tensor:
    valid = mask != 255
    hot = F.one_hot(torch.where(valid, mask, 0), 4).movedim(-1, 1)
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -((shares * hot).sum(1) * valid).sum() / valid.sum()


@pytest.mark.parametrize(
    ("loss", "test", "words"),
    [
        (sum_over_pixels, "test_void_does_not_rescale", "with more images of void: expected"),
        (sees_void, "test_gradient_is_finite_and_zero_at_ignored_pixels", "got up to"),
        (upside_down, "test_right_is_below_wrong", "expected right < unsure < wrong, got"),
        (per_image, "test_is_a_finite_scalar", "to give a scalar tensor, got (2, 63)"),
        (overflows, "test_extreme_logits_stay_finite", "expected finite at logits of 10000"),
    ],
)
def test_fault_is_named(loss: Callable[..., Tensor], test: str, words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        LossContract.check(lambda: loss)
    _, _, text = str(caught.value).partition(f"\n- {test}: ")
    assert words in text.partition("\n- test_")[0]
