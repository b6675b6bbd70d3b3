"""Accumulating parts of a batch gives the whole batch's gradient, and memory that runs out halves it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.core.errors import TrainingError
from seglab.engine.step.micro_batch import SURE_AFTER, MicroBatcher, is_out_of_memory


def _batch(seed: int, void_share: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(6, 3, 5, 4, generator=generator)
    mask = torch.randint(0, 4, (6, 5, 4), generator=generator)
    mask[torch.rand(mask.shape, generator=generator) < void_share] = 255
    num_valid = (mask != 255).flatten(1).sum(1).float()
    return image, mask, num_valid / num_valid.sum().clamp(min=1.0)


def _gradient(size: int | None, seed: int, void_share: float) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3, padding=1)
    image, mask, num_valid = _batch(seed, void_share)

    def loss_fn(image: Tensor, mask: Tensor) -> Tensor:
        total = F.cross_entropy(model(image), mask, ignore_index=255, reduction="sum")
        return total / (mask != 255).sum().clamp(min=1)

    loss = MicroBatcher(size).accumulate(
        image, mask, num_valid, loss_fn, lambda value: value.backward(), lambda: model.zero_grad()
    )
    assert model.weight.grad is not None
    return loss, model.weight.grad


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 7), seed=st.integers(0, 1000), void_share=st.floats(0.0, 0.9))
def test_parts_give_the_gradient_of_the_whole(size: int, seed: int, void_share: float) -> None:
    loss, gradient = _gradient(None, seed, void_share)
    part_loss, part_gradient = _gradient(size, seed, void_share)
    torch.testing.assert_close(part_loss, loss)
    torch.testing.assert_close(part_gradient, gradient, rtol=1e-4, atol=1e-6)


def test_all_void_batch_gives_a_finite_zero() -> None:
    loss, gradient = _gradient(2, 0, 1.1)
    assert loss == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


class _Device:
    """Refuses more than `capacity` images at once, in the words of a real allocator."""

    def __init__(self, capacity: int, words: str) -> None:
        self.capacity, self.words, self.resets = capacity, words, 0
        self.weight = torch.ones(1, requires_grad=True)

    def loss(self, image: Tensor, mask: Tensor) -> Tensor:
        if len(image) > self.capacity:
            raise RuntimeError(self.words)
        return (image.mean() * self.weight).sum()

    def reset(self) -> None:
        self.resets += 1
        self.weight.grad = None


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "could not create a primitive",
    ],
)
def test_memory_that_runs_out_halves_until_it_fits(words: str) -> None:
    device, batcher = _Device(2, words), MicroBatcher()
    image, mask, num_valid = torch.ones(8, 1, 2, 2), torch.zeros(8, 2, 2), torch.full((8,), 1 / 8)
    loss = batcher.accumulate(
        image, mask, num_valid, device.loss, lambda x: x.backward(), device.reset
    )
    assert batcher.size == 2
    assert loss == 1
    # The whole batch's gradient once, nothing left over from the two attempts that failed.
    assert device.weight.grad == 1
    assert device.resets == 3


def test_one_image_that_does_not_fit_is_an_error_with_advice() -> None:
    device = _Device(0, "out of memory")
    with pytest.raises(TrainingError, match=r"a single image .*data\.crop_size smaller"):
        MicroBatcher().accumulate(
            torch.ones(2, 1, 2, 2),
            torch.zeros(2, 2, 2),
            torch.ones(2),
            device.loss,
            lambda x: x.backward(),
            device.reset,
        )


def test_parts_never_fall_below_what_batch_norm_needs() -> None:
    sizes: list[int] = []

    def record(image: Tensor, mask: Tensor) -> Tensor:
        sizes.append(len(image))
        return image.sum() * torch.ones((), requires_grad=True)

    batcher = MicroBatcher(1, min_size=2)
    batcher.accumulate(
        torch.ones(5, 1, 2, 2),
        torch.zeros(5, 2, 2),
        torch.ones(5),
        record,
        lambda x: x.backward(),
        lambda: None,
    )
    assert sizes == [2, 3]


def test_under_ddp_the_size_is_not_changed_by_one_rank() -> None:
    device = _Device(1, "out of memory")
    with pytest.raises(TrainingError, match=r"trainer\.micro_batch_size=1"):
        MicroBatcher(can_halve=False).accumulate(
            torch.ones(2, 1, 2, 2),
            torch.zeros(2, 2, 2),
            torch.ones(2),
            device.loss,
            lambda x: x.backward(),
            device.reset,
        )


def test_other_errors_pass_unchanged() -> None:
    def broken(image: Tensor, mask: Tensor) -> Tensor:
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        MicroBatcher().accumulate(
            torch.ones(1, 1, 2, 2),
            torch.zeros(1, 2, 2),
            torch.ones(1),
            broken,
            lambda x: x.backward(),
            lambda: None,
        )


def test_real_allocator_failure_is_recognised() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a pool"))


def test_failures_are_told_with_what_was_held_at_once() -> None:
    told: list[tuple[int, int]] = []
    device = _Device(2, "out of memory")
    batcher = MicroBatcher(on_failure=lambda batch_size, held: told.append((batch_size, held)))
    image, mask = torch.ones(9, 1, 2, 2), torch.zeros(9, 2, 2)
    batcher.accumulate(
        image, mask, torch.ones(9), device.loss, lambda x: x.backward(), device.reset
    )
    # Nine in parts of at most four are three of three.
    assert told == [(9, 9), (9, 3)]
    assert batcher.size == 2


def test_a_size_is_sure_after_a_few_steps_and_unsure_after_a_failure() -> None:
    device, batcher = _Device(4, "out of memory"), MicroBatcher()

    def step() -> None:
        batcher.accumulate(
            torch.ones(4, 1, 2, 2),
            torch.zeros(4, 2, 2),
            torch.ones(4),
            device.loss,
            lambda x: x.backward(),
            device.reset,
        )

    for _ in range(SURE_AFTER):
        assert batcher.may_fail
        step()
    assert not batcher.may_fail
    device.capacity = 2
    step()
    assert batcher.may_fail
    assert not MicroBatcher(can_halve=False).may_fail
