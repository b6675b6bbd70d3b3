"""The shared part: hand-written gradient, sums of valid pixels, graphs that do not get lost."""

from __future__ import annotations

import pytest
import torch

from seglab.losses import loss_inputs
from seglab.losses.loss_inputs import LossInputs, count_targets, safe_divide

NUM_CLASSES = 3


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2, NUM_CLASSES, 3, 4, generator=rng, dtype=torch.float64)
    mask = torch.randint(0, NUM_CLASSES, (2, 3, 4), generator=rng)
    mask[torch.rand(mask.shape, generator=rng) < 0.3] = 255
    return logits, mask


@pytest.fixture(params=["a CPU", "an accelerator"])
def as_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up and sum as on one kind of device; two classes at a time, so that one is left over."""
    monkeypatch.setattr(loss_inputs, "_by_comparing", lambda _: request.param == "an accelerator")
    monkeypatch.setattr(loss_inputs, "_CLASSES_AT_ONCE", 2)


@pytest.mark.usefixtures("as_on")
def test_statistics_by_one_hot(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, mask = batch
    pixels = LossInputs(logits, mask)
    valid = mask != 255
    hot = torch.nn.functional.one_hot(torch.where(valid, mask, 0), NUM_CLASSES)
    hot = hot.movedim(-1, 1) * valid[:, None]
    probs = logits.softmax(1)
    torch.testing.assert_close(pixels.target_log_probs, (probs.log() * hot).sum(1))
    torch.testing.assert_close(pixels.prob_sums, (probs * valid[:, None]).sum((2, 3)))
    torch.testing.assert_close(pixels.target_prob_sums, (probs * hot).sum((2, 3)))
    torch.testing.assert_close(pixels.class_pixels, hot.sum((2, 3)).double())
    torch.testing.assert_close(pixels.probs, probs)
    assert torch.equal(count_targets(mask, NUM_CLASSES), hot.sum((2, 3)))
    assert torch.equal(count_targets(mask.to(torch.uint8), NUM_CLASSES), hot.sum((2, 3)))
    assert int(pixels.num_valid) == int(valid.sum())


@pytest.mark.usefixtures("as_on")
def test_hand_written_gradient(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, mask = batch
    leaf = logits.requires_grad_()
    both = ("target_log_probs", "prob_sums")
    for names in (both[:1], both[1:], both, ("target_prob_sums",)):
        assert torch.autograd.gradcheck(
            lambda x, names=names: tuple(getattr(LossInputs(x, mask), name) for name in names),
            (leaf,),
        )


def test_first_use_without_gradient_keeps_the_graph(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, mask = batch
    pixels = LossInputs(logits.requires_grad_(), mask)
    with torch.no_grad():
        assert pixels.target_log_probs.requires_grad
        assert pixels.probs.requires_grad
        assert pixels.target_prob_sums.requires_grad
    with torch.no_grad():
        assert not LossInputs(logits, mask).probs.requires_grad


def test_log_probs_of_unlikely_targets_do_not_underflow() -> None:
    logits = torch.tensor([[[[500.0]], [[0.0]]]])
    assert float(LossInputs(logits, torch.tensor([[[1]]])).target_log_probs) == -500.0


def test_safe_divide() -> None:
    numerator = torch.tensor([0.0, 6.0], requires_grad=True)
    quotient = safe_divide(numerator, torch.tensor([0.0, 3.0]))
    assert quotient.tolist() == [0.0, 2.0]
    quotient.sum().backward()
    assert bool(numerator.grad.isfinite().all())
