"""Deterministic forms: the same resize as torch's, forwards and backwards, wherever a network asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seglab.inference.deterministic import deterministic_forms, resize_by_products, wanted_on

side = st.integers(1, 9)


def _both(image: Tensor, call: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return a result, a weighted sum's gradient, and the weights."""
    leaf = image.clone().requires_grad_()
    result = call(leaf)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
    (result * weights).sum().backward()
    assert leaf.grad is not None
    return result.detach(), leaf.grad, weights


@settings(max_examples=60, deadline=None)
@given(before=st.tuples(side, side), after=st.tuples(side, side), aligned=st.booleans())
def test_products_are_the_bilinear_resize(
    before: tuple[int, int], after: tuple[int, int], aligned: bool
) -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        image = torch.randn(2, 3, *before, dtype=torch.float64).contiguous(memory_format=layout)
        ours = _both(image, lambda one: resize_by_products(one, after, aligned))
        theirs = _both(
            image, lambda one: F.interpolate(one, after, mode="bilinear", align_corners=aligned)
        )
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        assert resize_by_products(image, after, aligned).is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    "words",
    [
        {"size": 7, "align_corners": False},
        {"size": (5, 9), "align_corners": True},
        {"scale_factor": 2, "align_corners": False},
        {"scale_factor": 2.0, "align_corners": True},
        {"scale_factor": (1.5, 2.3), "align_corners": False},
        {"scale_factor": 1.7, "align_corners": False, "recompute_scale_factor": True},
    ],
)
def test_whatever_way_a_network_asks(words: dict[str, Any]) -> None:
    image = torch.randn(2, 3, 5, 6, dtype=torch.float64)

    def resize(one: Tensor) -> Tensor:
        return F.interpolate(one, mode="bilinear", **words)

    theirs = _both(image, resize)
    with deterministic_forms():
        ours = _both(image, resize)
        kernel = resize(image)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.equal(kernel, theirs[0]), "without a gradient it is torch's own kernel"


def test_other_resizes_stay_as_they_are() -> None:
    image = torch.randn(1, 2, 4, 6, requires_grad=True)
    with deterministic_forms():
        for words in ({"mode": "nearest"}, {"mode": "bilinear", "antialias": True}):
            assert F.interpolate(image, (8, 9), **words).shape == (1, 2, 8, 9)  # type: ignore[arg-type]
        resized = nn.UpsamplingBilinear2d(scale_factor=4)(image)
    assert "Upsample" not in type(resized.grad_fn).__name__
    assert resized.shape == (1, 2, 16, 24)


def test_only_a_gpu_that_was_told_so_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert not wanted_on(cuda)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert wanted_on(cuda)
    assert not wanted_on(cpu)


def test_torchs_function_comes_back() -> None:
    own = F.interpolate
    with deterministic_forms(False):
        assert F.interpolate is own
    with deterministic_forms():
        assert F.interpolate is not own
        with pytest.raises(NotImplementedError):
            F.interpolate(torch.zeros(1, 1, 2, 2), 3, mode="no such mode")
    assert F.interpolate is own
