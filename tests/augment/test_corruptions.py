"""Each corruption against an independent reference: the formula in NumPy, SciPy, Pillow, matplotlib."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from seglab.augment.corruption.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from seglab.augment.corruption.weather import Rain, plasma, rain
from seglab.core.errors import ConfigError, ShapeError

NAMES = ["gaussian_noise", "gaussian_blur", "jpeg", "fog", "rain", "brightness", "contrast"]


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A bright sky over a dark, textured ground with some boxes, uint8 `(1, 3, 112, 160)`."""
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.normal(0, 25, (7, 10, 3)), (160, 112), interpolation=cv2.INTER_CUBIC)
    image = np.linspace(210, 60, 112)[:, None, None] + coarse + rng.normal(0, 6, (112, 160, 3))
    for top, left, colour in ((50, 20, (200, 40, 40)), (60, 90, (30, 60, 160)), (20, 130, 20)):
        image[top : top + 40, left : left + 22] = colour
    return torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)[None]


def _flat(*colour: int, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).reshape(1, -1, 1, 1).repeat(1, 1, *size)


def _array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).numpy()


def test_the_suite() -> None:
    assert list(CORRUPTIONS) == NAMES
    assert all(len(item.levels) == len(SEVERITIES) == 5 for item in CORRUPTIONS.values())
    assert all(item.name == name and item.description for name, item in CORRUPTIONS.items())


@pytest.mark.parametrize("name", NAMES)
def test_severity_rises_with_the_distance_to_the_clean_image(name: str, photo: Tensor) -> None:
    images = photo.repeat(4, 1, 1, 1)
    ids = ["a", "b", "c", "d"]
    distances = []
    for severity in SEVERITIES:
        changed = corrupt(images, name, severity, 0, ids)
        assert changed.dtype == torch.uint8
        assert changed.shape == images.shape
        distances.append((changed.float() - images.float()).abs().mean().item())
    assert distances[0] > 1.0
    assert distances == sorted(set(distances))


@pytest.mark.parametrize("name", NAMES)
def test_result_depends_on_seed_and_sample_and_nothing_else(name: str, photo: Tensor) -> None:
    batch = torch.cat([photo, photo.flip(3), photo])
    before = batch.clone()
    changed = corrupt(batch, name, 3, 7, ["x", "y", "z"])
    assert torch.equal(batch, before)
    assert changed.data_ptr() != batch.data_ptr()
    torch.manual_seed(123)
    np.random.seed(5)
    alone = corrupt(batch[2:], name, 3, 7, ["z"])
    assert torch.equal(alone[0], changed[2])
    strided = corrupt(batch.contiguous(memory_format=torch.channels_last), name, 3, 7, list("xyz"))
    assert torch.equal(strided, changed)
    random = name in {"gaussian_noise", "fog", "rain"}
    assert torch.equal(changed[0], changed[2]) is not random
    assert torch.equal(corrupt(photo, name, 3, 8, ["z"])[0], changed[2]) is not random


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 2, 9), (2, 1, 17, 31), (0, 3, 8, 8)])
def test_odd_tiny_and_grey_images(name: str, shape: tuple[int, ...]) -> None:
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.manual_seed(0))
    changed = corrupt(images, name, 5, 0, [str(index) for index in range(len(images))])
    assert changed.dtype == torch.uint8
    assert changed.shape == shape


def test_noise_has_the_benchmarks_deviation_and_saturates() -> None:
    grey = corrupt(_flat(128, 128, 128, size=(128, 128)), "gaussian_noise", 1, 0, ["a"]).float()
    assert grey.mean().item() == pytest.approx(128.0, abs=0.3)
    assert grey.std().item() == pytest.approx(0.08 * 255, rel=0.02)
    # Channels are independent.
    assert abs(np.corrcoef(grey[0, 0].flatten(), grey[0, 1].flatten())[0, 1]) < 0.03
    # White can only lose and black only gain: nothing wraps around.
    white = corrupt(_flat(255, 255, 255), "gaussian_noise", 5, 0, ["a"])
    black = corrupt(_flat(0, 0, 0), "gaussian_noise", 5, 0, ["a"])
    assert (white == 255).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (black == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_noise_is_the_same_draw_at_all_severities() -> None:
    weak, strong = (
        corrupt(_flat(128, 128, 128), "gaussian_noise", s, 0, ["a"]).float() - 128 for s in (1, 2)
    )
    inside = strong.abs() < 120
    assert (strong - 1.5 * weak)[inside].abs().max() <= 1.3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_equals_scipys_at_the_scaled_deviation(severity: int, photo: Tensor) -> None:
    # The shorter side is 112, half of the benchmark's 224.
    sigma = (1.0, 2.0, 3.0, 4.0, 6.0)[severity - 1] / 2
    expected = gaussian_filter(
        _array(photo).astype(np.float64),
        sigma,
        mode="mirror",
        radius=int(np.ceil(4 * sigma)),
        axes=(0, 1),
    )
    changed = _array(corrupt(photo, "gaussian_blur", severity, 0, ["a"]))
    np.testing.assert_allclose(changed, expected, atol=0.51)


def test_blur_scales_with_the_image() -> None:
    edge = _flat(0, 0, 0, size=(64, 64))
    edge[..., 32:] = 255
    large = edge.repeat_interleave(2, 2).repeat_interleave(2, 3)
    small_blur, large_blur = (
        corrupt(item, "gaussian_blur", 5, 0, ["a"])[0, 0, 20].float() for item in (edge, large)
    )
    torch.testing.assert_close(large_blur.reshape(64, 2).mean(1), small_blur, atol=4.0, rtol=0)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_equals_pillows(severity: int, photo: Tensor) -> None:
    file = io.BytesIO()
    Image.fromarray(_array(photo)).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    expected = np.asarray(Image.open(file)).astype(int)
    changed = _array(corrupt(photo, "jpeg", severity, 0, ["a"])).astype(int)
    # Two builds of one codec; a swap of red and blue would be far off.
    assert np.abs(changed - expected).mean() < 0.5


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_adds_to_the_value_of_hsv(severity: int, photo: Tensor) -> None:
    hsv = rgb_to_hsv(_array(photo) / 255.0)
    hsv[..., 2] = np.clip(hsv[..., 2] + severity / 10, 0, 1)
    changed = _array(corrupt(photo, "brightness", severity, 0, ["a"]))
    np.testing.assert_allclose(changed, 255 * hsv_to_rgb(hsv), atol=0.51)


def test_brightness_by_hand() -> None:
    # V rises from 100 to 151 at the same hue and saturation: times 1.51. Black becomes grey.
    brighter = corrupt(_flat(100, 50, 0), "brightness", 2, 0, ["a"])
    assert brighter[0, :, 0, 0].tolist() == [151, 76, 0]
    assert corrupt(_flat(0, 0, 0), "brightness", 2, 0, ["a"]).unique().tolist() == [51]
    assert corrupt(_flat(255, 255, 255), "brightness", 5, 0, ["a"]).unique().tolist() == [255]


def test_contrast_by_hand() -> None:
    image = _flat(0, 100, 255)
    image[0, 0, :, :24] = 200
    changed = corrupt(image, "contrast", 1, 0, ["a"])[0]
    # Each channel about its own mean: red 100 +- 0.4 * 100, the others have no contrast to lose.
    assert changed[0].unique().tolist() == [60, 140]
    assert changed[1].unique().tolist() == [100]
    assert changed[2].unique().tolist() == [255]


def test_fog_by_hand() -> None:
    # On white, (1 + d p) / (1 + d) of a cloud with mean 0.5 has the mean (1 + d / 2) / (1 + d).
    white = corrupt(_flat(255, 255, 255, size=(64, 96)), "fog", 1, 0, ["a"]).float() / 255
    assert white.mean().item() == pytest.approx((1 + 0.75) / 2.5, abs=0.01)
    # The cloud spans a range of 1, of which 1.5 / 2.5 is left, the same in all channels.
    assert (white.max() - white.min()).item() == pytest.approx(0.6, abs=0.01)
    assert torch.equal(white[:, 0], white[:, 2])
    # Fog is no brighter than the scene.
    assert corrupt(_flat(0, 0, 0), "fog", 5, 0, ["a"]).max().item() == 0


def test_fog_keeps_the_contrast_of_its_depth() -> None:
    # Two scenes with the same brightest pixel under the same cloud: 120 grey levels apart, of which
    # white / (white + depth) is left.
    scenes = torch.cat([_flat(160, 160, 160), _flat(40, 40, 40)])
    scenes[..., 0, 0] = 255
    for severity, depth in zip(SEVERITIES, (1.5, 2.0, 2.5, 3.0, 4.0), strict=True):
        bright, dark = corrupt(scenes, "fog", severity, 0, ["a", "a"]).float()
        difference = (bright - dark)[:, 1:]
        assert difference.mean().item() == pytest.approx(120 / (1 + depth), abs=0.1)
        assert (difference - 120 / (1 + depth)).abs().max().item() <= 1.0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 17), (112, 160), (40, 300)])
def test_plasma_is_smooth_noise_of_mean_half_and_range_one(size: tuple[int, int]) -> None:
    cloud = plasma(*size, 2.0, np.random.default_rng(0))
    assert cloud.shape == size
    assert cloud.mean().item() == pytest.approx(0.5, abs=1e-4)
    spread = (cloud.max() - cloud.min()).item()
    assert spread == pytest.approx(1.0 if min(size) > 1 else 0.0, abs=1e-4)
    if min(size) > 30:
        # Without grid or seam: no step between neighbours comes near the range.
        assert cloud.diff(dim=0).abs().max() < 0.2
        assert cloud.diff(dim=1).abs().max() < 0.2


def test_plasma_is_rougher_at_a_smaller_decay() -> None:
    steps = [
        plasma(112, 160, decay, np.random.default_rng(1)).diff(dim=1).abs().mean().item()
        for decay in (2.0, 1.7, 1.5, 1.4)
    ]
    assert steps == sorted(steps)


def test_rain_on_black_night_is_dark_and_on_grey_is_brighter_streaks() -> None:
    assert corrupt(_flat(0, 0, 0), "rain", 5, 0, ["a"]).max().item() == 0
    level = Rain(drops=200, length=20, opacity=0.5, dimming=0.0, veil=0.0)
    image = torch.full((3, 224, 224), 0.1)
    image[:, :20] = 0.9  # 9 % of the pixels: the light of the scene
    wet = rain(image, level, np.random.default_rng(0))
    assert torch.equal(wet[0], wet[2])
    gain = (wet - image)[0, 20:]
    assert gain.min() >= 0
    # Streaks take the colour of the light by their opacity, at most where layers overlap.
    assert 0.1 < gain.max() <= 0.8
    # Upright streaks: neighbours below are more alike than neighbours beside.
    assert gain.diff(dim=0).abs().mean() < 0.5 * gain.diff(dim=1).abs().mean()
    # As many at the top as at the bottom, left as right.
    parts = [gain[:102].mean(), gain[102:].mean(), gain[:, :112].mean(), gain[:, 112:].mean()]
    assert max(parts) < 1.4 * min(parts)


def test_rain_without_drops_is_dimming_and_mist() -> None:
    image = torch.full((3, 16, 16), 0.2)
    image[:, :2] = 0.8  # the light
    wet = rain(image, Rain(0, 10, 0.5, dimming=0.25, veil=0.5), np.random.default_rng(0))
    # 0.2 dims to 0.15, the light to 0.6; half of each.
    torch.testing.assert_close(wet[:, 8], torch.full((3, 16), 0.375))


def test_wrong_names_and_severities_are_refused_together(photo: Tensor) -> None:
    with pytest.raises(ConfigError, match="did you mean 'gaussian_noise'") as caught:
        corrupt(photo, "gausian_noise", 6, 0, ["a"])
    assert all(name in str(caught.value) for name in NAMES)
    assert "severity from 1 (slight) to 5, got 6" in str(caught.value)


def test_wrong_images_are_refused(photo: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"torch.float32 \(1, 3, 112, 160\); corrupt before"):
        corrupt(photo.float(), "fog", 1, 0, ["a"])
    with pytest.raises(ShapeError, match=r"got torch.uint8 \(3, 112, 160\)"):
        corrupt(photo[0], "fog", 1, 0, ["a"])
    with pytest.raises(ShapeError, match="expected 1 sample ids"):
        corrupt(photo, "fog", 1, 0, ["a", "b"])
