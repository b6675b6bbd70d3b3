"""Deterministic forms of operators that torch has only slow ones for on a GPU.

Where `trainer.deterministic` is on, torch takes bilinear resizing apart into gathers, whose gradient
sorts every pixel; `scripts/bench_train.py` measures what that costs. A bilinear resize is linear along
each axis, so two matrix products do the same, forwards and backwards, in an order that never changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_TORCHS_OWN = F.interpolate


def resize_by_products(
    image: Tensor,
    size: tuple[int, int],
    align_corners: bool = False,
    scales: tuple[float | None, float | None] = (None, None),
) -> Tensor:
    """Resize bilinearly, as `torch.nn.functional.interpolate` does, by one product an axis.

    Args:
        image: `(B, C, h, w)`, any float dtype.
        size: Wanted (H, W).
        align_corners: Whether the centres of the corner pixels fall on each other, or their edges.
        scales: Factors that count instead of the ratio of sizes; None: the ratio.

    Returns:
        `(B, C, H, W)`, dtype and memory format of the image.
    """
    batch, channels, height, width = image.shape
    rows = _weights(height, size[0], align_corners, scales[0], image.dtype, image.device)
    columns = _weights(width, size[1], align_corners, scales[1], image.dtype, image.device)
    with torch.autocast(image.device.type, enabled=False):
        if image.is_contiguous(memory_format=torch.channels_last) and channels > 1:
            lines = image.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
            tall = rows.expand(batch, -1, -1).bmm(lines).view(batch * size[0], width, channels)
            wide = columns.expand(batch * size[0], -1, -1).bmm(tall)
            return wide.view(batch, *size, channels).permute(0, 3, 1, 2)
        planes = image.reshape(batch * channels, height, width)
        return (rows.expand(len(planes), -1, -1).bmm(planes) @ columns.T).view(
            batch, channels, *size
        )


@lru_cache(maxsize=256)
def _weights(
    source: int,
    target: int,
    align_corners: bool,
    scale: float | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Return `(target, source)`: how much of each source pixel is in each target pixel."""
    places = np.arange(target, dtype=np.float64)
    if align_corners:
        places *= (source - 1) / max(target - 1, 1)
    else:
        step = 1 / scale if scale else source / target
        places = ((places + 0.5) * step - 0.5).clip(min=0)
    first = np.minimum(places.astype(np.int64), source - 1)
    second = np.minimum(first + 1, source - 1)
    share = places - first
    weights = np.zeros((target, source))
    np.add.at(weights, (np.arange(target), first), 1 - share)
    np.add.at(weights, (np.arange(target), second), share)
    # Made outside of inference mode, as it is kept for training, too.
    with torch.inference_mode(False):
        return torch.from_numpy(weights).to(dtype).to(device)


def _interpolate(
    input: Tensor,  # noqa: A002 - torch's names, by which it may be called
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    if mode != "bilinear" or input.ndim != 4 or antialias:
        return _TORCHS_OWN(
            input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
        )
    scales: tuple[float | None, float | None] = (None, None)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    else:
        pair = scale_factor if isinstance(scale_factor, list | tuple) else (scale_factor,) * 2
        height, width = (side * by for side, by in zip(input.shape[2:], pair, strict=True))
        scales = scales if recompute_scale_factor else (float(pair[0]), float(pair[1]))
    wanted = (int(height), int(width))
    if torch.is_grad_enabled() and input.requires_grad:
        return resize_by_products(input, wanted, bool(align_corners), scales)
    # Only the gradient races; without one torch's kernel gives what an evaluation gives.
    resized: Tensor = torch.ops.aten.upsample_bilinear2d(
        input, wanted, bool(align_corners), *scales
    )
    return resized


@contextmanager
def deterministic_forms(active: bool = True) -> Iterator[None]:
    """Resize bilinearly by products wherever a network asks torch for it.

    A mode of torch's that looks at every operator takes milliseconds a step where the host is what
    limits; replacing the one function for as long as a network runs takes none.

    Args:
        active: False: everything stays as it is.
    """
    if not active:
        yield
        return
    F.interpolate = _interpolate
    try:
        yield
    finally:
        F.interpolate = _TORCHS_OWN


def wanted_on(device: torch.device) -> bool:
    """Tell whether torch would take its slow forms: on a GPU that was told to be deterministic."""
    return device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
