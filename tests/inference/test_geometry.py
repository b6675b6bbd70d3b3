"""Sizes and positions: what is padded is cut again, and pixels stay where they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import ShapeError
from seglab.inference import crop_padding, pad_to_multiple, resize_logits


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 33))
def test_padding_reaches_the_next_multiple_and_is_undone(h: int, w: int, divisor: int) -> None:
    image = torch.randn(1, 2, h, w)
    padded = pad_to_multiple(image, divisor)
    assert padded.shape[2] % divisor == padded.shape[3] % divisor == 0
    assert 0 <= padded.shape[2] - h < divisor
    assert 0 <= padded.shape[3] - w < divisor
    assert torch.equal(crop_padding(padded, (h, w)), image)


def test_the_image_is_reflected_at_its_last_pixel() -> None:
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad_to_multiple(image, 4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4], [0, 1, 2, 1], [0, 1, 2, 1]]


def test_what_cannot_be_reflected_repeats_the_last_pixel() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    padded = pad_to_multiple(image, 5)
    assert padded[0, 0].tolist() == [[1, 2, 1, 1, 1], [3, 4, 3, 3, 3]] + [[1, 2, 1, 1, 1]] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_padding_keeps_dtype_and_format(dtype: torch.dtype) -> None:
    image = torch.randn(2, 3, 5, 5).to(dtype).contiguous(memory_format=torch.channels_last)
    padded = pad_to_multiple(image, 4)
    assert padded.dtype == dtype
    assert padded.is_contiguous(memory_format=torch.channels_last)


def test_identity_when_nothing_is_to_do() -> None:
    image = torch.randn(1, 3, 8, 16)
    assert pad_to_multiple(image, 8) is image
    assert crop_padding(image, (8, 16)) is image
    assert resize_logits(image, (8, 16)) is image
    assert resize_logits(image, None) is image


def test_resize_keeps_edges_and_means() -> None:
    """align_corners=False: halving averages each 2x2 block, as areas do."""
    logits = torch.arange(16.0).view(1, 1, 4, 4)
    half = resize_logits(logits, (2, 2))
    assert half[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    ramp = resize_logits(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
    assert ramp.flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


def test_half_precision_is_widened_before_interpolation() -> None:
    logits = torch.randn(1, 2, 3, 3).bfloat16()
    resized = resize_logits(logits, (6, 7))
    assert resized.dtype == torch.float32
    assert torch.equal(resized, resize_logits(logits.float(), (6, 7)))


def test_mistakes_are_named() -> None:
    image = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ShapeError, match="size_divisor >= 1, got 0"):
        pad_to_multiple(image, 0)
    with pytest.raises(ShapeError, match=r"float tensor .* got torch.uint8 \(1, 3, 4, 4\)"):
        pad_to_multiple(image.to(torch.uint8), 2)
    with pytest.raises(ShapeError, match=r"\(3, 4, 4\)"):
        pad_to_multiple(image[0], 2)
    with pytest.raises(ShapeError, match=r"image's size \(5, 4\), got \(4, 4\)"):
        crop_padding(image, (5, 4))
    with pytest.raises(ShapeError, match=r"got \(0, 4\)"):
        resize_logits(image, (0, 4))


def test_padding_reaches_the_smallest_side_a_model_takes() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    padded = pad_to_multiple(image, 4, min_size=9)
    assert padded.shape == (1, 1, 12, 12)
    assert torch.equal(padded[..., :3, :4], image)
