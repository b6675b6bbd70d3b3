from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.core.errors import ConfigError, ShapeError
from seglab.inference import SlidingWindow, TestTimeAugmentation, WholeImage


class ColumnModel(nn.Module):
    """Logits (0, column index, row index): knows left from right and up from down."""

    def forward(self, image: Tensor) -> Tensor:
        batch, _, height, width = image.shape
        columns = torch.arange(width, dtype=image.dtype).expand(height, width)
        rows = torch.arange(height, dtype=image.dtype)[:, None].expand(height, width)
        logits = torch.stack([torch.zeros_like(rows), columns, rows])
        return logits.expand(batch, -1, -1, -1)


class Recorder:
    """A predictor that remembers what it was shown; its logits are the image."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []
        self.sizes: list[tuple[int, int] | None] = []

    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        self.seen.append(image)
        self.sizes.append(mask_size)
        return F.interpolate(image.float(), size=mask_size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("flips", [(), ("h",), ("v",), ("hv",), ("h", "v", "hv")])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
def test_pointwise_model_is_unchanged_by_flips(
    flips: tuple[str, ...], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    predictor = WholeImage(nn.Conv2d(3, 4, kernel_size=1))
    image = torch.randn(2, 3, *size)
    predicted = TestTimeAugmentation(predictor, flips, scales=(1.0,))(image)
    torch.testing.assert_close(predicted, predictor(image).log_softmax(1), atol=1e-5, rtol=0)


def test_mirror_symmetric_convolution_is_unchanged_by_the_mirror() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=3, padding=1)
    with torch.no_grad():
        model.weight.copy_((model.weight + model.weight.flip(3)) / 2)
    image = torch.randn(1, 3, 7, 9)
    expected = WholeImage(model)(image).log_softmax(1)
    tta = TestTimeAugmentation(WholeImage(model), ("h",), (1.0,))
    torch.testing.assert_close(tta(image), expected, atol=1e-5, rtol=0)
    # It is not symmetric up and down.
    tta = TestTimeAugmentation(WholeImage(model), ("v",), (1.0,))
    assert (tta(image) - expected).abs().max() > 0.01


@pytest.mark.parametrize(("flip", "dims"), [("h", (3,)), ("v", (2,)), ("hv", (2, 3))])
def test_flip_averages_a_pixel_with_its_mirror_image(flip: str, dims: tuple[int, ...]) -> None:
    image = torch.zeros(1, 3, 3, 5)
    tta = TestTimeAugmentation(WholeImage(ColumnModel()), (flip,), (1.0,))
    probabilities = ColumnModel()(image).softmax(1)
    expected = (probabilities + probabilities.flip(dims)) / 2
    torch.testing.assert_close(tta(image).exp(), expected)
    torch.testing.assert_close(tta(image).exp(), tta(image).exp().flip(dims))


def test_images_are_rescaled_and_predictions_asked_for_at_the_masks_size() -> None:
    recorder = Recorder()
    image = torch.rand(1, 3, 9, 13)
    TestTimeAugmentation(recorder, ("h",), (0.5, 1.0, 1.5))(image)
    # 4.5 and 6.5 round to even, 13.5 and 19.5 too.
    assert [tuple(seen.shape[2:]) for seen in recorder.seen] == [
        (4, 6),
        (4, 6),
        (9, 13),
        (9, 13),
        (14, 20),
        (14, 20),
    ]
    assert recorder.sizes == [(9, 13)] * 6
    small = F.interpolate(image, size=(4, 6), mode="bilinear", align_corners=False)
    assert torch.equal(recorder.seen[0], small)
    assert torch.equal(recorder.seen[1], small.flip(3))
    assert recorder.seen[2] is image
    assert TestTimeAugmentation(recorder)(image, (20, 30)).shape == (1, 3, 20, 30)


def test_constant_image_is_unchanged_by_scales() -> None:
    torch.manual_seed(0)
    predictor = WholeImage(nn.Conv2d(3, 4, kernel_size=1), size_divisor=8)
    image = torch.randn(1, 3, 1, 1).expand(1, 3, 11, 17)
    expected = predictor(image).log_softmax(1)
    torch.testing.assert_close(TestTimeAugmentation(predictor)(image), expected)


def test_scales_keep_a_ramp_in_place() -> None:
    # A shift by half a pixel, which align_corners or floor would bring, changes the ramp's inside.
    ramp = torch.arange(32.0).expand(1, 1, 32, 32) / 8.0
    image = torch.cat([ramp, torch.zeros_like(ramp)], dim=1)
    predicted = TestTimeAugmentation(WholeImage(nn.Identity()), (), (0.5, 2.0))(image)
    expected = image.log_softmax(1)
    torch.testing.assert_close(predicted[..., 2:-2], expected[..., 2:-2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_reaches_the_model_and_is_averaged_in_float32(dtype: torch.dtype) -> None:
    recorder = Recorder()
    predicted = TestTimeAugmentation(recorder)(torch.rand(1, 2, 6, 7).to(dtype))
    assert {seen.dtype for seen in recorder.seen} == {dtype}
    assert predicted.dtype == torch.float32
    torch.testing.assert_close(predicted.exp().sum(1), torch.ones(1, 6, 7))


def test_windows_inside_test_time_augmentation() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=1)
    image = torch.randn(1, 3, 15, 10)
    inside = TestTimeAugmentation(SlidingWindow(model, (8, 8)))(image, (30, 21))
    whole = TestTimeAugmentation(WholeImage(model))(image, (30, 21))
    torch.testing.assert_close(inside, whole, atol=1e-5, rtol=0)


def test_tiny_scale_keeps_a_pixel() -> None:
    recorder = Recorder()
    TestTimeAugmentation(recorder, (), (0.1,))(torch.rand(1, 2, 3, 40))
    assert recorder.seen[0].shape == (1, 2, 1, 4)


@pytest.mark.parametrize(
    ("flips", "scales", "message"),
    [
        (("hh",), (1.0,), r"tta.flips\[0\]: expected one of h, v, hv, got 'hh'"),
        (("h", "h"), (1.0,), "tta.flips: expected each once"),
        ("hv", (1.0,), r"a list of \[one of h, v, hv, ...\], got 'hv'"),
        ((), (), "tta.scales: expected at least one"),
        ((), (1.0, 0.0), r"tta.scales\[1\]: expected a number \(more than 0\), got 0.0"),
        ((), (float("nan"),), r"tta.scales\[0\]: expected a number \(more than 0\), got nan"),
        ((), (1.0, 1), "tta.scales: expected each once"),
    ],
)
def test_wrong_views_are_refused(
    flips: tuple[str, ...], scales: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TestTimeAugmentation(Recorder(), flips, scales)


def test_bytes_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected a float tensor"):
        TestTimeAugmentation(Recorder())(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
