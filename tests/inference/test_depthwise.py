"""Depthwise convolutions in bfloat16: the forward pass keeps its bits, the gradient is that of fp32."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.inference.depthwise import fp32_depthwise_gradients

CPU = torch.device("cpu")
# Channels, edge of the kernel, stride, padding, dilation, with a bias.
SLOW = [
    (6, 5, 1, 2, 1, True),
    (6, 3, 2, 0, 1, False),
    (4, 3, 1, 4, 4, True),
    (5, (7, 1), (2, 1), (3, 0), 1, False),
]
needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bf16 on this CPU"
)


def _gradients(
    layer: nn.Module, image: Tensor, dtype: torch.dtype, ours: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return the result, and the gradients of the image and the parameters."""
    leaf = image.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        with fp32_depthwise_gradients(CPU) if ours else nullcontext():
            result = layer(leaf)
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape)
    (result.float() * weights).sum().backward()
    gradients = [leaf.grad, *(one.grad for one in layer.parameters())]
    return result.detach(), [one for one in gradients if one is not None]


@needs_bf16
@pytest.mark.parametrize("spec", SLOW)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_forward_is_the_same_and_the_gradient_at_least_as_exact(
    spec: tuple[Any, ...], layout: torch.memory_format
) -> None:
    channels, kernel, stride, padding, dilation, bias = spec
    layer = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=bias
    )
    image = torch.randn(2, channels, 17, 19).to(memory_format=layout)
    ours, of_ours = _gradients(layer, image, torch.bfloat16, ours=True)
    theirs, of_theirs = _gradients(layer, image, torch.bfloat16, ours=False)
    _, exact = _gradients(layer, image, torch.float32, ours=False)
    assert torch.equal(ours, theirs)
    assert ours.dtype == torch.bfloat16
    assert len(of_ours) == len(exact) == 2 + bias
    for one, other, truth in zip(of_ours, of_theirs, exact, strict=True):
        assert one.dtype == truth.dtype
        assert one.shape == truth.shape
        # bf16 keeps 8 bits: what the image, the weights and the result's gradient lose in it stays lost.
        assert (one - truth).norm() < 0.01 * truth.norm()
        assert (one - truth).norm() <= (other - truth).norm() * 1.05


def _depthwise(image: Tensor, **words: Any) -> Tensor:
    weight = torch.ones(4, 1, 5, 5, dtype=image.dtype, requires_grad=True)
    return F.conv2d(image, weight, groups=4, **words)


def _goes_through_ours(result: Tensor) -> bool:
    return "DepthwiseConvolution" in type(result.grad_fn).__name__


@needs_bf16
def test_only_what_is_slow_in_bf16_on_a_cpu_changes() -> None:
    image = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with fp32_depthwise_gradients(CPU):
            assert _goes_through_ours(_depthwise(image))
            assert _depthwise(image, stride=[2], padding=(1, 2)).shape == (1, 4, 3, 4)
            assert not _goes_through_ours(_depthwise(image.double()))
            assert not _goes_through_ours(_depthwise(image, padding="same"))
            assert not _goes_through_ours(nn.Conv2d(4, 4, 3, padding=1, groups=4)(image))
            assert not _goes_through_ours(nn.Conv2d(4, 4, 5, groups=2)(image))
            assert not _goes_through_ours(nn.Conv2d(4, 8, 5)(image))
            with torch.no_grad():
                assert _depthwise(image).grad_fn is None
            with torch.autocast("cpu", enabled=False):
                left = _depthwise(image)
                assert not _goes_through_ours(left)
                assert left.dtype == torch.float32
        with fp32_depthwise_gradients(torch.device("cuda")):
            assert not _goes_through_ours(_depthwise(image))
    with fp32_depthwise_gradients(CPU):
        assert not _goes_through_ours(_depthwise(image)), "no autocast"


@needs_bf16
def test_torchs_own_is_back_when_a_network_fails() -> None:
    before = F.conv2d
    with pytest.raises(RuntimeError, match="in the network"):
        with torch.autocast("cpu", torch.bfloat16), fp32_depthwise_gradients(CPU):
            raise RuntimeError("in the network")
    assert F.conv2d is before


@needs_bf16
def test_frozen_weights_and_images_get_no_gradient() -> None:
    frozen, image = nn.Conv2d(4, 4, 5, groups=4).requires_grad_(False), torch.randn(1, 4, 8, 8)
    trained = nn.Conv2d(4, 4, 5, groups=4)
    leaf = image.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), fp32_depthwise_gradients(CPU):
        (frozen(leaf).sum() + trained(image).sum()).backward()
    assert leaf.grad is not None
    assert image.grad is None
    assert [one.grad for one in frozen.parameters()] == [None, None]
    assert all(one.grad is not None for one in trained.parameters())
