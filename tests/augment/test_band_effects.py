"""Bands are augmented as RGB is: any number of them, of any depth, alike in both back ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.augment import AugmentSpec, BatchMixer, DeviceAugment, Uint8Augment, sample_params
from seglab.augment.band_effects import require_band_steps
from seglab.augment.corruption.corruptions import CORRUPTIONS, corrupt
from seglab.augment.options import MixingSpec
from seglab.core.bands import Bands
from seglab.core.errors import ConfigError, ShapeError
from seglab.core.seeding import generator
from tests.multiband import draw

CROP = (40, 48)
WARP = {
    "crop": "random",
    "hflip": 0.5,
    "scale": [0.4, 1.6],
    "rotate": 30.0,
    "perspective": 0.2,
    "perspective_p": 0.5,
}


def _bands(count: int = 5, dtype: str = "uint16") -> Bands:
    numbers = tuple(range(1, count + 1))
    return Bands(
        numbers,
        dtype,
        (900.0,) * count,
        (300.0,) * count,
        (300.0,) * count,
        (2300.0,) * count,
        (1, 1, 1),
    )


def _spec(**sections: object) -> AugmentSpec:
    return AugmentSpec.read(sections)


@pytest.mark.parametrize(("count", "dtype"), [(2, "uint16"), (5, "uint16"), (16, "float32")])
def test_geometry_moves_every_band_as_it_moves_one(count: int, dtype: str) -> None:
    image, mask = draw(1, count, dtype=dtype)
    augment = Uint8Augment(_spec(geometry=WARP), CROP, 255, _bands(count, dtype))
    alone = Uint8Augment(_spec(geometry=WARP), CROP, 255, _bands(1, dtype))
    for seed in range(6):
        crop, labels = augment(image, mask, generator("bands", seed))
        assert (crop.dtype, crop.shape) == (np.dtype(dtype), (*CROP, count))
        for band in range(count):
            own, own_labels = alone(image[..., band], mask, generator("bands", seed))
            assert np.array_equal(own_labels, labels)
            # OpenCV weighs neighbours a little coarser where there are several channels; edges here
            # are 1800 high.
            assert np.abs(own.astype(float) - crop[..., band]).max() <= 4.0


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_both_back_ends_agree(dtype: str) -> None:
    bands = _bands(5, dtype)
    if dtype == "uint8":
        bands = Bands(*(vars(bands) | {"low": (19.0,) * 5, "high": (144.0,) * 5}).values())
    image, mask = draw(2, 5, dtype=dtype)
    spec = _spec(
        geometry=WARP,
        colour={"p": 1.0, "brightness": 0.3, "contrast": 0.3, "gamma": 0.5},
        blur={"p": 0.5},
        noise={"p": 0.5},
        erasing={"p": 0.5},
    )
    params = [sample_params(spec, generator("b", i), (64, 64), CROP) for i in range(8)]
    augment = Uint8Augment(spec, CROP, 255, bands)
    crops, labels = zip(*(augment.apply(image, mask, item) for item in params), strict=True)
    images = torch.from_numpy(image).permute(2, 0, 1).expand(8, -1, -1, -1)
    found, marks = DeviceAugment(spec, CROP, 255, bands)(
        images, torch.from_numpy(mask).expand(8, -1, -1), params
    )
    assert found.dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
    assert np.mean(marks.numpy() == np.stack(labels)) > 0.999
    grey = (bands.high[0] - bands.low[0]) / 255
    apart = np.abs(found.permute(0, 2, 3, 1).numpy() - np.stack(crops).astype(np.float32))
    assert np.quantile(apart, 0.99) <= 2 * max(grey, 1.0)


def test_tones_turn_about_the_mean_of_each_band_and_cut_nothing_off() -> None:
    image = np.stack([np.full((8, 8), 500), np.full((8, 8), 1000)], -1).astype(np.uint16)
    image[0, 0] = (300, 4000)
    spec = _spec(colour={"p": 1.0, "contrast": 0.5})
    augment = Uint8Augment(spec, (8, 8), 255, _bands(2))
    params = sample_params(spec, generator(3), (8, 8), (8, 8))
    assert params.colour is not None
    factor = params.colour.contrast
    crop, _ = augment.apply(image, np.zeros((8, 8), np.uint8), params)
    mean = image[::8, ::8].mean((0, 1))
    np.testing.assert_allclose(crop, mean + factor * (image - mean), atol=0.51)


def test_noise_is_another_in_each_band_and_as_strong_as_the_range_is_wide() -> None:
    bands = _bands(7)
    spec = _spec(noise={"p": 1.0, "std": [10.0, 10.0]})
    image = np.full((64, 64, 7), 1000, np.uint16)
    crop, _ = Uint8Augment(spec, (64, 64), 255, bands)(
        image, image[..., 0].astype(np.uint8) * 0, generator(1)
    )
    noise = crop.reshape(-1, 7) - 1000.0
    assert noise.std(0) == pytest.approx([10 / 255 * 2000] * 7, rel=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(7)).max() < 0.06


def test_steps_for_colours_are_refused_with_the_words_that_turn_them_off() -> None:
    spec = _spec(colour={"p": 0.8, "saturation": 0.3, "hue": 0.1}, jpeg={"p": 0.2})
    with pytest.raises(ConfigError) as caught:
        require_band_steps(spec, _bands())
    assert len(caught.value.problems) == 1
    words = "augment.colour.saturation=0 augment.colour.hue=0 augment.jpeg.p=0"
    assert f"bands 1, 2, 3, 4, 5 of uint16; add {words}" in caught.value.problems[0]
    require_band_steps(spec, _bands(3, "uint8"))
    require_band_steps(_spec(colour={"p": 0.0, "saturation": 0.3}), _bands())


def test_other_arrays_than_the_bands_are_refused() -> None:
    mask = np.zeros((8, 8), np.uint8)
    for image in (np.zeros((8, 8, 5), np.uint8), np.zeros((8, 8, 4), np.uint16), mask):
        with pytest.raises(ShapeError, match=r"expected a uint16 image \(H, W, 5\), got"):
            Uint8Augment(_spec(), (8, 8), 255, _bands())(image, mask, generator(0))


def test_mixing_moves_sixteen_bits_whole() -> None:
    images = torch.from_numpy(np.stack([np.full((5, 8, 8), v, np.uint16) for v in (300, 60000)]))
    masks = torch.stack([torch.zeros(8, 8, dtype=torch.uint8), torch.ones(8, 8, dtype=torch.uint8)])
    mixed, labels = BatchMixer(MixingSpec(cutmix=1.0), 255, 2)(images, masks, generator(0))
    assert mixed.dtype == torch.uint16
    expected = torch.where(labels == 0, 300, 60000)[:, None].expand(-1, 5, -1, -1)
    assert torch.equal(mixed.int(), expected.int())
    assert len(labels[0].unique()) == 2


def test_corruptions_work_on_bands_or_say_that_they_do_not() -> None:
    bands, image = _bands(), draw(0)[0]
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    for name, item in CORRUPTIONS.items():
        if not item.any_bands:
            with pytest.raises(
                ConfigError, match=r"suite.corruptions=\[gaussian_noise,gaussian_blur,contrast\]"
            ):
                corrupt(images, name, 3, 0, ["a"], bands)
            continue
        weak, strong = (corrupt(images, name, level, 0, ["a"], bands) for level in (1, 5))
        apart = [(one - images.float()).abs().mean() for one in (weak, strong)]
        assert 0 < apart[0] < apart[1], name
