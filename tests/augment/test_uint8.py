from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seglab.augment import geometry
from seglab.augment.options import AugmentSpec, ErasingSpec, GeometrySpec
from seglab.augment.params import AugmentParams, sample_params
from seglab.augment.uint8 import Uint8Augment, mean_colour, warp_image, warp_mask
from seglab.core.errors import ShapeError
from seglab.core.seeding import generator

WILD = AugmentSpec(
    geometry=GeometrySpec(
        crop="random",
        hflip=0.5,
        vflip=0.5,
        scale=(0.3, 2.0),
        aspect=(0.7, 1.4),
        rotate=45.0,
        shear=20.0,
        perspective=0.4,
        perspective_p=0.7,
    ),
    erasing=ErasingSpec(p=0.5, scale=(0.05, 0.3)),
)


def _find_outside(params: AugmentParams) -> tuple[np.ndarray, np.ndarray]:
    """Return where pixel centres surely lie outside the source, and where surely inside."""
    height, width = params.crop_hw
    y, x = np.mgrid[:height, :width] + 0.5
    points = geometry.map_points(params.matrix, np.stack([x.ravel(), y.ravel()], axis=1))
    rim = np.minimum(points, np.array(params.image_hw)[::-1] - points).min(axis=1)
    rim = rim.reshape(height, width)
    erased = np.zeros((height, width), dtype=bool)
    for top, left, bottom, right in params.erase:
        erased[top:bottom, left:right] = True
    # OpenCV rounds coordinates to 1/1024 px.
    return (rim < -0.01) | erased, (rim > 0.01) & ~erased


@pytest.mark.parametrize("mask_hw", [(90, 120), (45, 60), (200, 100)])
def test_invented_pixels_are_void_and_no_others(mask_hw: tuple[int, int]) -> None:
    augment = Uint8Augment(WILD, (64, 80), 255)
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    mask = np.full(mask_hw, 3, dtype=np.uint8)
    invented = 0
    for seed in range(60):
        params = sample_params(WILD, generator(seed), (90, 120), (64, 80))
        crop, labels = augment.apply(image, mask, params)
        outside, inside = _find_outside(params)
        assert (labels[outside] == 255).all()
        assert (labels[inside] == 3).all()
        assert (crop[outside] == mean_colour(image)).all()
        invented += int(outside.sum())
    assert invented > 60 * 64 * 80 * 0.05


def test_presets_never_leak_class_zero(preset: Path) -> None:
    spec = AugmentSpec.read(yaml.safe_load(preset.read_text(encoding="utf-8")))
    augment = Uint8Augment(spec, (64, 80), 255)
    image = np.full((50, 70, 3), 90, dtype=np.uint8)
    mask = np.full((50, 70), 3, dtype=np.uint8)
    for seed in range(40):
        crop, labels = augment(image, mask, generator(seed))
        assert crop.shape == (64, 80, 3)
        assert crop.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {3, 255}
        assert 3 in labels


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    labels=st.lists(st.integers(0, 254), min_size=1, max_size=4),
    mask_hw=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    crop_hw=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_labels_come_from_the_source_or_are_void(
    seed: int, labels: list[int], mask_hw: tuple[int, int], crop_hw: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (31, 43, 3), dtype=np.uint8)
    mask = rng.choice(labels, size=mask_hw).astype(np.uint8)
    _, found = Uint8Augment(WILD, crop_hw, 255)(image, mask, generator(seed))
    assert set(np.unique(found)) <= {*labels, 255}


def test_same_seed_same_bytes_and_inputs_untouched(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = scene
    image.setflags(write=False)
    mask.setflags(write=False)
    augment = Uint8Augment(WILD, (48, 64), 255)
    for seed in range(10):
        first, second = (augment(image, mask, generator(seed)) for _ in range(2))
        assert first[0].tobytes() == second[0].tobytes()
        assert first[1].tobytes() == second[1].tobytes()
        assert not np.shares_memory(first[0], image)


def test_flips_of_an_asymmetric_image_by_hand() -> None:
    image = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    mask = image + 10
    for hflip, vflip, expected in (
        (1.0, 0.0, [[3, 2, 1], [6, 5, 4]]),
        (0.0, 1.0, [[4, 5, 6], [1, 2, 3]]),
        (1.0, 1.0, [[6, 5, 4], [3, 2, 1]]),
    ):
        spec = AugmentSpec(geometry=GeometrySpec(hflip=hflip, vflip=vflip))
        crop, labels = Uint8Augment(spec, (2, 3), 255)(image, mask, generator(0))
        assert crop.tolist() == expected
        assert labels.tolist() == (np.array(expected) + 10).tolist()


@pytest.mark.parametrize("grey", [False, True])
def test_random_crops_are_exact_copies(grey: bool) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (30, 40) if grey else (30, 40, 3), dtype=np.uint8)
    mask = rng.integers(0, 9, (30, 40), dtype=np.uint8)
    spec = AugmentSpec(geometry=GeometrySpec(crop="random"))
    augment = Uint8Augment(spec, (16, 24), 255)
    for seed in range(20):
        params = sample_params(spec, generator(seed), (30, 40), (16, 24))
        left, top = (int(value) for value in params.matrix[:2, 2])
        crop, labels = augment.apply(image, mask, params)
        assert np.array_equal(crop, image[top : top + 16, left : left + 24])
        assert np.array_equal(labels, mask[top : top + 16, left : left + 24])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_source_smaller_than_the_crop_is_padded_with_void(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    mask = np.full((20, 30), 4, dtype=np.uint8)
    crop, labels = Uint8Augment(AugmentSpec(), (32, 40), 200)(image, mask, generator(0))
    top, left = 6, 5
    assert np.array_equal(crop[top : top + 20, left : left + 30], image)
    assert (labels[top : top + 20, left : left + 30] == 4).all()
    assert (labels == 200).sum() == 32 * 40 - 20 * 30
    assert crop[0, 0].tolist() == (
        mean_colour(image)[0] if len(shape) == 2 else [*mean_colour(image)]
    )


@pytest.mark.parametrize("tilt", [0.0, 0.002])
def test_image_warp_matches_scipy(tilt: float) -> None:
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80), dtype=np.uint8), (5, 5), 1.0)
    matrix = np.array([[0.9, 0.25, 2.3], [-0.2, 1.1, 9.7], [tilt, -tilt / 2, 1.0]])
    y, x = np.mgrid[:40, :48] + 0.5
    points = geometry.map_points(matrix, np.stack([x.ravel(), y.ravel()], axis=1)) - 0.5
    expected = ndimage.map_coordinates(
        image.astype(float), points[:, ::-1].T, order=1, mode="nearest"
    )
    found = warp_image(image, matrix, (40, 48)).ravel()
    assert np.abs(found - expected).max() < 1.5
    nearest = ndimage.map_coordinates(image, points[:, ::-1].T, order=0, mode="constant", cval=7)
    assert (warp_mask(image, matrix, (40, 48), 7).ravel() == nearest).mean() > 0.995


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    # One bright column in eight: point sampling would give stripes, the mean is 255 / 8.
    image = np.zeros((160, 160), dtype=np.uint8)
    image[:, ::8] = 255
    spec = AugmentSpec(geometry=GeometrySpec(scale=(0.125, 0.125)))
    crop, _ = Uint8Augment(spec, (20, 20), 255)(image, np.zeros_like(image), generator(0))
    assert np.abs(crop.astype(int) - 32).max() <= 1


def test_shrinking_a_part_equals_shrinking_the_whole() -> None:
    image = np.random.default_rng(4).integers(0, 256, (101, 133, 3), dtype=np.uint8)
    for left, top in ((0, 0), (31.7, 22.2), (70, 60)):
        matrix = geometry.translation(left, top) @ geometry.scaling(3.4, 3.4)
        part = warp_image(image, matrix, (12, 18))
        whole = warp_image(image, matrix, (40, 60))[:12, :18]
        assert np.array_equal(part, whole)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 2.7])
def test_mask_of_another_size_stays_aligned(factor: float) -> None:
    def draw_disc(height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[:height, :width] + 0.5
        inside = (x / width - 0.55) ** 2 * 16 / 9 + (y / height - 0.45) ** 2 < 0.3**2
        return inside.astype(np.uint8)

    image = np.repeat(draw_disc(360, 480)[..., None] * 255, 3, axis=2)
    mask = draw_disc(round(360 * factor), round(480 * factor))
    spec = AugmentSpec(
        geometry=GeometrySpec(
            crop="random",
            hflip=0.5,
            scale=(0.4, 1.0),
            rotate=30.0,
            shear=10.0,
            perspective=0.2,
            perspective_p=0.5,
        )
    )
    augment = Uint8Augment(spec, (192, 256), 255)
    seen = 0
    for seed in range(30):
        crop, labels = augment(image, mask, generator(seed))
        valid = labels != 255
        shown, labelled = (crop[..., 0] > 127) & valid, (labels == 1) & valid
        if labelled.sum() < 500:
            continue
        seen += 1
        assert (shown & labelled).sum() / (shown | labelled).sum() > 0.95
    assert seen > 15


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), "expected a uint8 image"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint8), r"got uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int64), "expected a uint8 mask"),
    ],
)
def test_wrong_arrays_are_refused(image: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Uint8Augment(AugmentSpec(), (2, 2), 255)(image, mask, generator(0))


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ShapeError, match="crop_hw must be a positive"):
        Uint8Augment(AugmentSpec(), (0, 4))
    with pytest.raises(ShapeError, match=r"must lie in 0\.\.255, got -100"):
        Uint8Augment(AugmentSpec(), (4, 4), -100)
    params = sample_params(AugmentSpec(), generator(0), (8, 8), (4, 4))
    image = np.zeros((9, 8), np.uint8)
    with pytest.raises(ShapeError, match=r"drawn for an image of \(8, 8\), got \(9, 8\)"):
        Uint8Augment(AugmentSpec(), (4, 4)).apply(image, image, params)
