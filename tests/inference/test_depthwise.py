"""Gradients of depthwise convolutions under bfloat16: the forward pass keeps its bits, the gradient is fp32's."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.engine.device.facts import cpu_bf16
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
