"""The promise of `is_mean_over_images`: a batch in any parts is the batch, value and gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.losses import CrossEntropyLoss, DiceLoss, SegmentationLoss, WeightedSum
from seglab.losses.loss_inputs import LossInputs, count_targets, safe_divide
from tests.losses.cases import MEANS, OTHERS

NUM_CLASSES = 3
IGNORE = 255


class OwnLoss(SegmentationLoss):
    """What a user writes: a mean over valid pixels, without class weights."""

    def compute(self, pixels: LossInputs) -> torch.Tensor:
        return safe_divide(-pixels.target_log_probs.sum(), pixels.num_valid)


def draw(seed: int, voids: list[float], one_class: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float64 logits and masks whose images differ in classes and in valid pixels."""
    rng = torch.Generator().manual_seed(seed)
    shape = (len(voids), 3, 4)
    logits = torch.randn(len(voids), NUM_CLASSES, 3, 4, generator=rng, dtype=torch.float64)
    mask = torch.randint(0, NUM_CLASSES, shape, generator=rng)
    mask = torch.where(torch.tensor(one_class)[:, None, None], mask[:, :1, :1], mask)
    chance = torch.rand(shape, generator=rng)
    return 2 * logits, torch.where(chance < torch.tensor(voids)[:, None, None], IGNORE, mask)


def terms_and_gradient(
    loss: WeightedSum, logits: torch.Tensor, mask: torch.Tensor, sizes: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up a batch from parts of these sizes, each by its share."""
    leaf = logits.clone().requires_grad_()
    weights = loss.term_weights(mask, NUM_CLASSES).double()
    shares = safe_divide(weights, weights.sum(0))
    total = torch.zeros(loss.num_terms, dtype=torch.float64)
    for end, size in zip(itertools.accumulate(sizes), sizes, strict=True):
        part = slice(end - size, end)
        terms = loss.weighted_terms(leaf[part], mask[part]) * shares[part].sum(0)
        terms.sum().backward()
        total += terms.detach()
    assert leaf.grad is not None
    return total, leaf.grad


@st.composite
def sums(draw: st.DrawFn) -> WeightedSum:
    names = draw(st.lists(st.sampled_from(sorted(MEANS)), min_size=1, max_size=3, unique=True))
    weight = st.sampled_from([0.0, 0.05, 1.0, 1.0, 20.0])
    weights = st.none() | st.lists(weight, min_size=3, max_size=3).filter(any)
    terms = {name: MEANS[name](class_weights=draw(weights)) for name in names}
    return WeightedSum(terms, {name: draw(st.sampled_from([0.3, 1.0])) for name in names})


@settings(max_examples=50, deadline=None)
@given(
    loss=sums(),
    seed=st.integers(0, 1000),
    images=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 0.9, 1.1]), st.booleans()), min_size=2),
    cuts=st.sets(st.integers(1, 5)),
)
def test_any_parts_are_the_batch(
    loss: WeightedSum, seed: int, images: list[tuple[float, bool]], cuts: set[int]
) -> None:
    images = images[:6]
    logits, mask = draw(seed, [void for void, _ in images], [one for _, one in images])
    edges = [0, *sorted(cut for cut in cuts if cut < len(images)), len(images)]
    sizes = [end - start for start, end in itertools.pairwise(edges)]
    assert not loss.whole_batch_terms
    whole, gradient = terms_and_gradient(loss, logits, mask, [len(images)])
    torch.testing.assert_close(whole.sum(), loss(logits, mask))
    parts, part_gradient = terms_and_gradient(loss, logits, mask, sizes)
    # Weights of float32 leave 7 digits.
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(part_gradient, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_what_promises_nothing_is_named_and_is_really_no_mean(name: str) -> None:
    loss = WeightedSum(
        {"ce": CrossEntropyLoss(), name: OTHERS[name](), "off": DiceLoss()},
        {"ce": 1.0, name: 1.0, "off": 0.0},
    )
    assert loss.whole_batch_terms == [name]
    logits, mask = draw(0, [0.0, 0.5, 0.0, 0.9], [False, True, True, False])
    # Confident where it is right: fewer than a tenth of the pixels are hard in the first images.
    logits[:3] += 9 * torch.nn.functional.one_hot(mask[:3] % 255, NUM_CLASSES).movedim(-1, 1)
    whole, _ = terms_and_gradient(loss, logits, mask, [4])
    parts, _ = terms_and_gradient(loss, logits, mask, [1, 1, 1, 1])
    assert torch.isclose(parts[0], whole[0])
    assert not torch.isclose(parts[1], whole[1], rtol=1e-3)


def test_loss_that_says_nothing_counts_by_valid_pixels() -> None:
    loss = WeightedSum({"own": OwnLoss()}, {"own": 1.0}, class_weights=[1.0, 5.0, 0.1])
    assert loss.whole_batch_terms == ["own"]
    logits, mask = draw(3, [0.0, 0.9, 1.1], [False, False, True])
    assert (
        loss.term_weights(mask, NUM_CLASSES)[:, 0].tolist() == (mask != IGNORE).sum((1, 2)).tolist()
    )
    whole, gradient = terms_and_gradient(loss, logits, mask, [3])
    parts, part_gradient = terms_and_gradient(loss, logits, mask, [1, 1, 1])
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(part_gradient, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("ignore_index", [255, -100, 3])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_targets_are_counted_by_image(ignore_index: int, dtype: torch.dtype) -> None:
    mask = torch.tensor([[[0, 1, 1]], [[2, ignore_index, 7]]], dtype=dtype)
    assert count_targets(mask, 3, ignore_index).tolist() == [[1, 2, 0], [0, 0, 1]]
    assert count_targets(mask.to("meta"), 3, ignore_index).shape == (2, 3)
