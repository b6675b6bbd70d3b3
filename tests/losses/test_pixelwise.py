"""Losses of pixels against torch, and against loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from seglab.core.errors import ConfigError
from seglab.losses import CrossEntropyLoss, FocalLoss, OhemCrossEntropyLoss
from seglab.losses.loss_inputs import LossInputs
from seglab.losses.pixelwise import _hard_pixels, _hardness_limit_cpu

NUM_CLASSES = 5
WEIGHTS = torch.tensor([1.0, 0.0, 2.5, 0.3, 4.0])


def make_batch(seed: int = 0, void: float = 0.25) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, NUM_CLASSES, 6, 7, generator=rng)
    mask = torch.randint(0, NUM_CLASSES, (2, 6, 7), generator=rng)
    mask[torch.rand(mask.shape, generator=rng) < void] = 255
    return logits, mask


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_torchs(weights: torch.Tensor | None, label_smoothing: float) -> None:
    logits, mask = make_batch()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = CrossEntropyLoss(label_smoothing=label_smoothing, class_weights=weights)(ours, mask)
    # Class 1 counts nowhere as a target; torch still counts what label smoothing spreads from it.
    targets = mask if weights is None else torch.where(mask == 1, 255, mask)
    reference = F.cross_entropy(
        theirs, targets, weights, ignore_index=255, label_smoothing=label_smoothing
    )
    torch.testing.assert_close(value, reference)
    value.backward()
    reference.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_cross_entropy_divides_by_valid_pixels_only() -> None:
    """SMP's SoftCrossEntropyLoss divides by all of them: 0.75 of this value with 25 % void."""
    logits, mask = make_batch(void=0.0)
    mask[:, :3, :] = 255
    value = CrossEntropyLoss()(logits, mask)
    torch.testing.assert_close(value, CrossEntropyLoss()(logits[:, :, 3:], mask[:, 3:]))


def test_label_smoothing_spreads_nothing_from_a_class_of_weight_zero() -> None:
    """By itself such a batch had the plain sum of its pixels as its loss, here 52."""
    logits, _ = make_batch()
    only = torch.ones(2, 6, 7, dtype=torch.int64)
    assert float(CrossEntropyLoss(label_smoothing=0.1, class_weights=WEIGHTS)(logits, only)) == 0.0


def test_all_void_is_zero_where_torch_is_nan() -> None:
    logits, mask = make_batch(void=1.1)
    assert math.isnan(float(F.cross_entropy(logits, mask, ignore_index=255)))
    assert float(CrossEntropyLoss(label_smoothing=0.1)(logits, mask)) == 0.0


def test_focal_by_hand_and_at_gamma_zero() -> None:
    logits, mask = make_batch()
    total = weight = 0.0
    for image, row, column in (mask != 255).nonzero().tolist():
        target = int(mask[image, row, column])
        prob = float(logits[image, :, row, column].softmax(0)[target])
        total += float(WEIGHTS[target]) * (1 - prob) ** 1.5 * -math.log(prob)
        weight += float(WEIGHTS[target])
    value = FocalLoss(gamma=1.5, class_weights=WEIGHTS)(logits, mask)
    assert float(value) == pytest.approx(total / weight, rel=1e-5)
    torch.testing.assert_close(FocalLoss(gamma=0.0)(logits, mask), CrossEntropyLoss()(logits, mask))


@pytest.mark.parametrize(("threshold", "min_kept"), [(0.3, 0.5), (0.9, 0.1), (0.0, 0.25), (0.2, 0)])
def test_ohem_by_sorting(threshold: float, min_kept: float) -> None:
    logits, mask = make_batch()
    probs = logits.softmax(1)
    valid = mask != 255
    target_probs = probs.gather(1, torch.where(valid, mask, 0)[:, None])[:, 0][valid]
    ordered = sorted(target_probs.tolist())
    num_kept = max(math.ceil(min_kept * len(ordered)), sum(prob <= threshold for prob in ordered))
    expected = sum(-math.log(prob) for prob in ordered[:num_kept]) / max(num_kept, 1)
    value = OhemCrossEntropyLoss(threshold=threshold, min_kept=min_kept)(logits, mask)
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_ohem_keeps_everything_at_its_limits() -> None:
    logits, mask = make_batch()
    plain = CrossEntropyLoss()(logits, mask)
    torch.testing.assert_close(
        OhemCrossEntropyLoss(threshold=1.0, min_kept=0.0)(logits, mask), plain
    )
    torch.testing.assert_close(
        OhemCrossEntropyLoss(threshold=0.0, min_kept=1.0)(logits, mask), plain
    )


def test_ohem_gives_no_gradient_to_easy_pixels() -> None:
    logits, mask = make_batch(void=0.0)
    leaf = logits.clone().requires_grad_()
    OhemCrossEntropyLoss(threshold=0.2, min_kept=0.0)(leaf, mask).backward()
    kept = _hard_pixels(LossInputs(logits, mask), 0.2, 0.0)
    moved = leaf.grad.abs().sum(1) > 0
    assert torch.equal(moved, kept)
    assert 0 < int(kept.sum()) < kept.numel()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=0, max_size=20), st.floats(0, 1), st.floats(0, 1)
)
def test_hardness_limit_keeps_what_it_promises(
    values: list[float], threshold: float, min_kept: float
) -> None:
    probs = torch.tensor(values)
    limit = _hardness_limit_cpu(probs.clone(), threshold, min_kept)
    kept = probs <= limit
    assert bool(kept[probs <= torch.tensor(threshold)].all())
    assert int(kept.sum()) >= math.ceil(len(values) * min_kept)
    # Not more than asked for, ties aside.
    strictly = int((probs < limit).sum())
    assert strictly <= max(math.ceil(len(values) * min_kept), int((probs <= threshold).sum()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrossEntropyLoss(label_smoothing=1.5),
        lambda: OhemCrossEntropyLoss(threshold=2),
        lambda: OhemCrossEntropyLoss(min_kept=-0.1),
        lambda: FocalLoss(gamma=-1),
    ],
)
def test_options_out_of_range(make: object) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()
