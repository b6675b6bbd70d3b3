"""Prediction: padding is invisible to a pointwise model, gradients are off, argmax is exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seglab.core.errors import ShapeError
from seglab.inference import argmax_mask, predict_logits


class Recorder(nn.Module):
    """A 1x1 convolution that notes the sizes it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, kernel_size=1)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(image.shape[2:]))
        return self.conv(image)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 32))
def test_padding_does_not_show_in_a_pointwise_model(h: int, w: int, divisor: int) -> None:
    model, image = Recorder(), torch.randn(2, 3, h, w)
    logits = predict_logits(model, image, size_divisor=divisor)
    assert logits.shape == (2, 5, h, w)
    torch.testing.assert_close(logits, model(image))
    assert all(side % divisor == 0 for side in model.sizes[0])


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_logits_come_at_the_size_of_the_mask(
    image_size: tuple[int, int], mask_size: tuple[int, int]
) -> None:
    logits = predict_logits(Recorder(), torch.randn(1, 3, *image_size), mask_size, size_divisor=8)
    assert logits.shape == (1, 5, *mask_size)


def test_padding_is_cut_before_resizing() -> None:
    """The other order would squeeze the padding into the mask."""
    image = torch.zeros(1, 3, 5, 5)
    image[..., 4:, :] = 1
    model = Recorder()
    expected = nn.functional.interpolate(model(image), size=(10, 10), mode="bilinear")
    torch.testing.assert_close(predict_logits(model, image, (10, 10), 8), expected)


def test_no_gradient_and_no_change_of_mode() -> None:
    model = Recorder().train()
    logits = predict_logits(model, torch.randn(1, 3, 4, 4, requires_grad=True), (6, 6), 4)
    assert not logits.requires_grad
    assert model.training
    assert torch.is_grad_enabled()
    # Not an inference tensor: what follows may still put it into a graph.
    (logits * torch.ones(1, requires_grad=True)).sum().backward()


def test_model_of_another_output_size_is_refused() -> None:
    model = nn.Conv2d(3, 2, kernel_size=3)
    with pytest.raises(ShapeError, match=r"num_classes, 8, 8\) .* got \(1, 2, 6, 6\)"):
        predict_logits(model, torch.randn(1, 3, 5, 5), size_divisor=8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 1000),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    st.booleans(),
)
def test_argmax_equals_torchs_with_ties(
    num_classes: int, seed: int, dtype: torch.dtype, channels_last: bool
) -> None:
    rng = torch.Generator().manual_seed(seed)
    # Few values, so that ties are common; both signs of zero and of infinity.
    values = torch.tensor([-torch.inf, -1.5, -0.0, 0.0, 0.25, torch.inf])
    logits = values[torch.randint(0, len(values), (2, num_classes, 3, 5), generator=rng)].to(dtype)
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    pred_mask = argmax_mask(logits)
    assert pred_mask.dtype == torch.uint8
    assert torch.equal(pred_mask, logits.argmax(1).to(torch.uint8))


def test_argmax_of_many_classes_of_a_view_with_gradient() -> None:
    logits = torch.randn(1, 256, 4, 6, requires_grad=True)
    assert torch.equal(argmax_mask(logits[:, :, 1:, ::2]), logits[:, :, 1:, ::2].argmax(1))


def test_argmax_refuses_what_does_not_fit_a_byte() -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 257, 1, 1\)"):
        argmax_mask(torch.zeros(1, 257, 1, 1))
    with pytest.raises(ShapeError, match=r"got \(2, 3, 4\)"):
        argmax_mask(torch.zeros(2, 3, 4))
