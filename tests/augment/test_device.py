from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from seglab.augment.device import DeviceAugment
from seglab.augment.options import (
    AugmentSpec,
    BlurSpec,
    ColourSpec,
    ErasingSpec,
    JpegSpec,
    NoiseSpec,
)
from seglab.augment.params import AugmentParams, sample_params
from seglab.augment.uint8 import Uint8Augment
from seglab.core.errors import ShapeError
from seglab.core.seeding import generator

CROP = (48, 64)
Scene = tuple[np.ndarray, np.ndarray]


def _geometry(**values: object) -> AugmentSpec:
    return AugmentSpec.read({"geometry": {"crop": "random", **values}})


def _draw(spec: AugmentSpec, image_hw: Sequence[tuple[int, int]]) -> list[AugmentParams]:
    return [sample_params(spec, generator("d", i), hw, CROP) for i, hw in enumerate(image_hw)]


def _run_both(
    spec: AugmentSpec, image: np.ndarray, mask: np.ndarray, count: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return images and masks of the uint8 back end, then those of the device back end."""
    params = _draw(spec, [image.shape[:2]] * count)
    augment = Uint8Augment(spec, CROP, 255)
    crops, labels = zip(*(augment.apply(image, mask, item) for item in params), strict=True)
    planes = image if image.ndim == 3 else image[..., None]
    images = torch.from_numpy(planes.copy()).permute(2, 0, 1).expand(count, -1, -1, -1)
    masks = torch.from_numpy(mask.copy()).expand(count, -1, -1)
    found, marks = DeviceAugment(spec, CROP, 255)(images, masks, params)
    assert found.dtype == torch.uint8
    assert marks.dtype == torch.uint8
    pictures = found.permute(0, 2, 3, 1).numpy()
    if image.ndim == 2:
        pictures = pictures[..., 0]
    return np.stack(crops), np.stack(labels), pictures, marks.numpy()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("size", [(90, 120), (30, 50)])
def test_crops_and_flips_are_exactly_those_of_the_uint8_back_end(
    grey: bool, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, size if grey else (*size, 3), dtype=np.uint8)
    mask = rng.integers(0, 5, size, dtype=np.uint8)
    crops, labels, found, marks = _run_both(_geometry(hflip=0.5, vflip=0.5), image, mask)
    assert np.array_equal(crops, found)
    assert np.array_equal(labels, marks)


@pytest.mark.parametrize(
    "spec",
    [
        _geometry(scale=[0.75, 1.5], rotate=20),
        _geometry(scale=[0.3, 0.5], aspect=[0.8, 1.25]),
        _geometry(scale=[3, 4], shear=10),
        _geometry(perspective=0.3, perspective_p=1),
        AugmentSpec(colour=ColourSpec(p=1, brightness=0.3, contrast=0.3, gamma=0.5)),
        AugmentSpec(colour=ColourSpec(p=0.5, saturation=0.8, hue=0.2, grayscale=0.3)),
        AugmentSpec(blur=BlurSpec(p=0.7, sigma=(0.3, 3.0))),
        AugmentSpec(noise=NoiseSpec(p=0.7)),
        AugmentSpec(erasing=ErasingSpec(p=0.7)),
    ],
    ids=["affine", "shrink", "zoom", "tilt", "tone", "hue", "blur", "noise", "erase"],
)
def test_back_ends_agree_to_a_grey_level(scene: Scene, spec: AugmentSpec) -> None:
    crops, labels, found, marks = _run_both(spec, *scene)
    assert np.abs(crops.astype(int) - found).mean() < 0.1
    # Where a mask pixel falls on the other side of the rim, the fill differs from the image.
    assert (np.abs(crops.astype(int) - found) <= 2).mean() > 0.999
    assert (labels == marks).mean() > 0.999


@pytest.mark.parametrize("quality", [30, 80])
def test_jpeg_damages_about_as_much_as_the_real_codec(scene: Scene, quality: int) -> None:
    plain = Uint8Augment(AugmentSpec(), CROP)(*scene, generator(0))[0].astype(int)
    spec = AugmentSpec(jpeg=JpegSpec(p=1, quality=(quality, quality)))
    crops, _, found, _ = _run_both(spec, *scene, count=1)
    real, soft = (np.abs(picture[0] - plain).mean() for picture in (crops, found))
    assert 0.5 * real < soft < 1.5 * real
    assert np.abs(crops.astype(int) - found).mean() < 3


def test_grey_images_take_every_effect(scene: Scene) -> None:
    image, mask = scene[0][..., 0].copy(), scene[1]
    spec = AugmentSpec(
        colour=ColourSpec(p=1, brightness=0.2, contrast=0.3, saturation=0.5, hue=0.2),
        blur=BlurSpec(p=1),
        noise=NoiseSpec(p=1),
        jpeg=JpegSpec(p=1, quality=(90, 90)),
    )
    crops, labels, found, marks = _run_both(spec, image, mask)
    assert crops.shape == found.shape == (12, *CROP)
    assert np.abs(crops.astype(int) - found).mean() < 2
    assert np.array_equal(labels, marks)


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_masks_of_another_size_agree(scene: Scene, factor: float) -> None:
    image, mask = scene
    rows = (np.arange(int(90 * factor)) / factor).astype(int)
    columns = (np.arange(int(120 * factor)) / factor).astype(int)
    spec = _geometry(scale=[0.6, 1.5], rotate=15, hflip=0.5)
    _, labels, _, marks = _run_both(spec, image, mask[rows][:, columns])
    assert (labels == marks).mean() > 0.998


def test_presets_never_leak_class_zero(preset: Path) -> None:
    spec = AugmentSpec.read(yaml.safe_load(preset.read_text(encoding="utf-8")))
    params = _draw(spec, [(40, 60)] * 24)
    images = torch.full((24, 3, 40, 60), 80, dtype=torch.uint8)
    masks = torch.full((24, 40, 60), 3)
    _, marks = DeviceAugment(spec, CROP, 255)(images, masks, params)
    assert marks.dtype == torch.int64
    assert set(marks.unique().tolist()) == {3, 255}


def test_padding_of_the_batch_is_void_and_never_seen(scene: Scene) -> None:
    spec = _geometry(scale=[0.3, 1.2], rotate=20, perspective=0.2, perspective_p=0.5).replace(
        colour=ColourSpec(p=1, contrast=0.3)
    )
    sizes = [(90, 120), (61, 77), (33, 118), (90, 40)]
    params = _draw(spec, sizes)
    images = torch.full((4, 3, 90, 120), 255, dtype=torch.uint8)
    masks = torch.zeros((4, 90, 120), dtype=torch.uint8)
    augment = Uint8Augment(spec, CROP, 255)
    expected = []
    for index, ((height, width), item) in enumerate(zip(sizes, params, strict=True)):
        part = np.ascontiguousarray(scene[0][:height, :width])
        labels = np.full((height, width), 2, dtype=np.uint8)
        images[index, :, :height, :width] = torch.from_numpy(part).permute(2, 0, 1)
        masks[index, :height, :width] = 2
        expected.append(augment.apply(part, labels, item))
    found, marks = DeviceAugment(spec, CROP, 255)(images, masks, params)
    for index, (crop, labels) in enumerate(expected):
        assert set(marks[index].unique().tolist()) <= {2, 255}
        assert (marks[index].numpy() == labels).mean() > 0.998
        difference = np.abs(found[index].permute(1, 2, 0).numpy().astype(int) - crop)
        assert (difference <= 2).mean() > 0.998


def test_result_does_not_depend_on_the_neighbours_in_the_batch(scene: Scene) -> None:
    spec = _geometry(scale=[0.4, 1.5], rotate=10)
    params = _draw(spec, [(90, 120)] * 4)
    images = torch.from_numpy(scene[0]).permute(2, 0, 1).expand(4, -1, -1, -1)
    masks = torch.from_numpy(scene[1]).expand(4, -1, -1)
    augment = DeviceAugment(spec, CROP, 255)
    together = augment(images, masks, params)
    alone = [augment(images[i : i + 1], masks[i : i + 1], params[i : i + 1]) for i in range(4)]
    assert torch.equal(together[0], torch.cat([pair[0] for pair in alone]))
    assert torch.equal(together[1], torch.cat([pair[1] for pair in alone]))


def test_float_images_and_autocast_give_the_same(scene: Scene) -> None:
    spec = _geometry(scale=[0.8, 1.5], rotate=10).replace(colour=ColourSpec(p=1, saturation=0.5))
    params = _draw(spec, [(90, 120)])
    images = torch.from_numpy(scene[0]).permute(2, 0, 1)[None]
    masks = torch.from_numpy(scene[1])[None]
    augment = DeviceAugment(spec, CROP, 255)
    plain = augment(images, masks, params)[0]
    source = images.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(source, masks, params)[0], plain)
    assert torch.equal(source, images.float())


def test_every_wrong_argument_is_listed() -> None:
    augment = DeviceAugment(AugmentSpec(), CROP, 255)
    params = _draw(AugmentSpec(), [(90, 120)])
    with pytest.raises(ShapeError) as caught:
        augment(torch.zeros(2, 4, 20, 20), torch.zeros(1, 20, 20), params)
    for text in ("images (B, 1 or 3, H, W)", "integer masks", "one mask and one set", "sample 0"):
        assert text in str(caught.value)
    small = _draw(AugmentSpec(), [(10, 10)])
    with pytest.raises(ShapeError, match="mask_hw is needed"):
        augment(torch.zeros(1, 3, 20, 20), torch.zeros(1, 40, 40, dtype=torch.uint8), small)
    images, masks = torch.zeros(1, 3, 20, 20), torch.zeros(1, 40, 40, dtype=torch.uint8)
    assert augment(images, masks, small, [(20, 20)])[1].shape == (1, *CROP)
