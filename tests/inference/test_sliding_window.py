from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seglab.core.errors import ConfigError, ShapeError
from seglab.inference import SlidingWindow, WholeImage, pad_to_multiple
from seglab.inference.sliding_window import window_starts


class Recorder(nn.Module):
    """Logits are the image; remembers the shapes of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return image


class Position(nn.Module):
    """Logits are the column within the window: differs from window to window."""

    def forward(self, image: Tensor) -> Tensor:
        columns = torch.arange(image.shape[3], dtype=image.dtype)
        return columns.expand(len(image), 1, *image.shape[2:])


@pytest.mark.parametrize(
    ("side", "window", "overlap", "expected"),
    [
        (4, 4, 0.5, [0]),
        (5, 4, 0.5, [0, 1]),
        (10, 4, 0.5, [0, 2, 4, 6]),
        (9, 4, 0.5, [0, 2, 3, 5]),
        (10, 5, 0.0, [0, 5]),
        (11, 5, 0.0, [0, 3, 6]),
        (200, 100, 0.9, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
        (5, 1, 0.9, [0, 1, 2, 3, 4]),
    ],
)
def test_starts_by_hand(side: int, window: int, overlap: float, expected: list[int]) -> None:
    assert window_starts(side, window, overlap) == expected


@given(st.integers(1, 60), st.integers(0, 300), st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]))
def test_starts_cover_the_side_with_the_overlap_asked_for(
    window: int, rest: int, overlap: float
) -> None:
    starts = window_starts(window + rest, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == rest
    steps = np.diff(starts)
    assert all(1 <= step <= max(1, window * (1 - overlap) + 1e-6) for step in steps)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 23), st.integers(1, 23)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from([0.0, 0.25, 0.5, 0.8]),
    st.integers(1, 5),
)
def test_pointwise_model_gives_what_it_gives_on_the_whole_image(
    size: tuple[int, int], window: tuple[int, int], overlap: float, batch_size: int
) -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=1)
    image = torch.randn(2, 3, *size)
    predicted = SlidingWindow(model, window, overlap, batch_size)(image)
    assert predicted.dtype == torch.float32
    torch.testing.assert_close(predicted, WholeImage(model)(image), atol=1e-5, rtol=0)


def test_result_does_not_depend_on_the_batch_of_windows() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=5, padding=2)
    image = torch.randn(2, 3, 21, 30)
    one, many = (SlidingWindow(model, (8, 12), batch_size=count)(image) for count in (1, 7))
    torch.testing.assert_close(one, many, atol=1e-5, rtol=0)


def test_batches_of_windows_hold_no_more_than_asked_for() -> None:
    model = Recorder()
    image = torch.arange(60.0).reshape(1, 1, 6, 10)
    SlidingWindow(model, (6, 4), batch_size=3)(image)
    assert [len(seen) for seen in model.seen] == [3, 1]
    windows = torch.cat(model.seen)
    for window, left in zip(windows, (0, 2, 4, 6), strict=True):
        assert torch.equal(window, image[0, :, :, left : left + 4])


def test_blend_by_hand() -> None:
    # Windows of 4 columns at 0 and 2 of 6; sigma 4/8, centres at 1.5 and 3.5.
    predicted = SlidingWindow(Position(), (1, 4), 0.5)(torch.zeros(1, 1, 1, 6))
    near, far = np.exp(-0.5 * (0.5 / 0.5) ** 2), np.exp(-0.5 * (1.5 / 0.5) ** 2)
    # Column 2 is index 2 of the first window (0.5 off centre) and 0 of the second (1.5 off).
    second = (2 * near + 0 * far) / (near + far)
    third = (3 * far + 1 * near) / (near + far)
    expected = torch.tensor([0.0, 1.0, float(second), float(third), 2.0, 3.0])
    torch.testing.assert_close(predicted[0, 0, 0], expected)


def test_receptive_field_inside_the_overlap_gives_the_whole_images_middle() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(1, 2, kernel_size=3, padding=1)
    image = torch.randn(1, 1, 32, 32)
    predicted = SlidingWindow(model, (16, 16), 0.5)(image)
    # A window's edge, the only place that misses a neighbour, has a weight of e^-8 against the rest.
    torch.testing.assert_close(predicted, WholeImage(model)(image), atol=2e-3, rtol=0)


def test_smaller_image_is_reflected_as_by_padding() -> None:
    model = Recorder()
    image = torch.rand(1, 2, 5, 7)
    predicted = SlidingWindow(model, (8, 8))(image)
    assert torch.equal(model.seen[0], pad_to_multiple(image, 8))
    torch.testing.assert_close(predicted, image)
    # One side only: the other is not touched.
    model.seen.clear()
    SlidingWindow(model, (8, 4))(image)
    assert {tuple(seen.shape[2:]) for seen in model.seen} == {(8, 4)}
    assert torch.equal(model.seen[0][0, :, :5], image[0, :, :, :4])


def test_windows_are_padded_to_the_models_stride() -> None:
    model = Recorder()
    image = torch.rand(1, 2, 20, 20)
    predicted = SlidingWindow(model, (10, 12), size_divisor=8, min_size=24)(image)
    assert {tuple(seen.shape[2:]) for seen in model.seen} == {(24, 24)}
    torch.testing.assert_close(predicted, image)


def test_masks_size_resizes_the_blend() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=1)
    image = torch.randn(1, 3, 9, 11)
    predicted = SlidingWindow(model, (4, 4))(image, (20, 13))
    torch.testing.assert_close(predicted, WholeImage(model)(image, (20, 13)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    image = torch.rand(1, 2, 13, 9).to(dtype)
    predicted = SlidingWindow(Recorder(), (4, 4), 0.75)(image)
    assert predicted.dtype == torch.float32
    torch.testing.assert_close(predicted, image.float(), atol=1e-5, rtol=0)


def test_wrong_arguments_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        SlidingWindow(nn.Identity(), (0, 4), overlap=1.0, batch_size=0)
    assert len(caught.value.problems) == 3
    assert "sliding window.overlap: expected a number (0 to 1, 1 excluded), got 1.0" in str(
        caught.value
    )


def test_wrong_images_are_refused() -> None:
    predictor = SlidingWindow(nn.Identity(), (4, 4))
    with pytest.raises(ShapeError, match="batch of none"):
        predictor(torch.zeros(0, 3, 8, 8))
    with pytest.raises(ShapeError, match="float tensor"):
        predictor(torch.zeros(3, 8, 8))
