"""Gradients of depthwise convolutions on a CPU that computes in bfloat16.

oneDNN multiplies bf16 in hardware, but has only its plain loops for the gradient of a depthwise
convolution in bf16, unless that is 3x3 without stride or dilation: half of a step of an EfficientNet. So
that one gradient is computed in fp32, which is several times as fast and the more exact;
`scripts/bench_layout.py` measures both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_TORCHS_OWN = F.conv2d
_Pair = tuple[int, int]


class _DepthwiseConvolution(torch.autograd.Function):
    """Forward in the image's dtype, backward in fp32; the weight comes, and its gradient goes, in its own."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: tuple[_Pair, _Pair, _Pair],
    ) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.geometry = geometry
        half_bias = None if bias is None else bias.to(image.dtype)
        return _TORCHS_OWN(image, weight.to(image.dtype), half_bias, *geometry, len(weight))

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch does not type it
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        of_image, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient.float(),
            image.float(),
            weight.float(),
            [len(weight)],
            *ctx.geometry,
            False,
            [0, 0],
            len(weight),
            wanted,
        )
        return (
            of_image.to(image.dtype) if wanted[0] else None,
            of_weight.to(weight.dtype) if wanted[1] else None,
            of_bias if wanted[2] else None,
            None,
        )


def _conv2d(
    input: Tensor,  # noqa: A002 - torch's names, by which it may be called
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if not isinstance(padding, str):
        geometry = (_pair(stride), _pair(padding), _pair(dilation))
        if torch.is_grad_enabled() and _is_slow_in_bf16(input, weight, geometry, groups):
            return _DepthwiseConvolution.apply(input.bfloat16(), weight, bias, geometry)  # type: ignore[no-any-return]
    return _TORCHS_OWN(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: int | Sequence[int]) -> _Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _is_slow_in_bf16(
    image: Tensor, weight: Tensor, geometry: tuple[_Pair, _Pair, _Pair], groups: int
) -> bool:
    stride, _, dilation = geometry
    is_depthwise = groups == len(weight) > 1 == weight.shape[1] and image.ndim == 4
    is_fast = weight.shape[2:] == (3, 3) and stride == dilation == (1, 1)
    # A network may leave autocast for a part of itself, and autocast leaves doubles alone.
    in_bf16 = _computes_in_bf16(image.device) and image.dtype != torch.float64
    return is_depthwise and not is_fast and in_bf16


@contextmanager
def fp32_depthwise_gradients(device: torch.device) -> Iterator[None]:
    """Take gradients of depthwise convolutions in fp32 for what runs forward within, and is slow in bf16.

    Results of the forward pass are the same bits. Nothing changes on other devices, in other precisions and
    where no gradient is asked for.

    Args:
        device: Where the network computes.
    """
    if not _computes_in_bf16(device):
        yield
        return
    F.conv2d = _conv2d  # type: ignore[assignment]
    try:
        yield
    finally:
        F.conv2d = _TORCHS_OWN


def _computes_in_bf16(device: torch.device) -> bool:
    return (
        device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
