"""Lovasz-softmax against SMP, the paper's definition and the Jaccard index itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_models_pytorch import losses as smp

from seglab.losses import LovaszLoss
from seglab.losses.lovasz import _descending_order, _jaccard_steps

NUM_CLASSES = 4


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(3, NUM_CLASSES, 8, 7, generator=rng)
    mask = torch.randint(0, NUM_CLASSES - 1, (3, 8, 7), generator=rng)
    mask[torch.rand(mask.shape, generator=rng) < 0.2] = 255
    return logits, mask


@pytest.mark.parametrize("per_image", [False, True])
def test_value_and_gradient_are_smps(per_image: bool) -> None:
    logits, mask = make_batch()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = LovaszLoss(per_image=per_image)(ours, mask)
    reference = smp.LovaszLoss("multiclass", per_image=per_image, ignore_index=255)(theirs, mask)
    torch.testing.assert_close(value, reference)
    value.backward()
    reference.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_hard_predictions_give_one_minus_jaccard() -> None:
    """The extension equals the set function on sets: here 1 - IoU of each present class."""
    mask = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    pred_mask = torch.tensor([[[0, 0, 1, 1, 0, 1]]])
    logits = 200 * torch.nn.functional.one_hot(pred_mask, 3).movedim(-1, 1).float()
    assert float(LovaszLoss()(logits, mask)) == pytest.approx(1 - (2 / 4 + 1 / 3) / 2)
    weighted = LovaszLoss(class_weights=[3.0, 1.0, 1.0])(logits, mask)
    assert float(weighted) == pytest.approx(1 - (3 * 2 / 4 + 1 / 3) / 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=30))
def test_steps_are_differences_of_jaccard(pixels: list[tuple[float, bool]]) -> None:
    errors = torch.tensor([error for error, _ in pixels])
    is_class = torch.tensor([member for _, member in pixels])
    total = int(is_class.sum())
    if not total:
        return
    steps = _jaccard_steps(errors, is_class)
    previous, wrong_in, wrong_out = 0.0, 0, 0
    for index in _descending_order(errors).tolist():
        wrong_in += int(is_class[index])
        wrong_out += int(not is_class[index])
        jaccard_lost = 1 - (total - wrong_in) / (total + wrong_out)
        assert float(steps[index]) == pytest.approx(jaccard_lost - previous, abs=1e-6)
        previous = jaccard_lost


@given(st.lists(st.floats(0, 1, width=32), max_size=40))
def test_order_is_descending(values: list[float]) -> None:
    errors = torch.tensor(values, dtype=torch.float32)
    order = _descending_order(errors)
    assert sorted(order.tolist()) == list(range(len(values)))
    assert errors[order].tolist() == sorted(values, reverse=True)


def test_small_steps_keep_their_digits() -> None:
    """Subtracting neighbouring float32 Jaccard values would be off by per cents here."""
    count = 1 << 20
    errors = torch.linspace(1, 0.5, count)
    is_class = torch.ones(count, dtype=torch.bool)
    steps = _jaccard_steps(errors, is_class)
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / count), rtol=1e-6, atol=0)
