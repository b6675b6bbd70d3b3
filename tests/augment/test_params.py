from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.augment import geometry
from seglab.augment.options import (
    AugmentSpec,
    BlurSpec,
    ColourSpec,
    ErasingSpec,
    GeometrySpec,
    JpegSpec,
    NoiseSpec,
)
from seglab.augment.params import AugmentParams, sample_params
from seglab.core.errors import ShapeError
from seglab.core.seeding import generator

EVERYTHING = AugmentSpec(
    geometry=GeometrySpec(
        crop="random",
        hflip=0.5,
        vflip=0.5,
        scale=(0.5, 2.0),
        aspect=(0.8, 1.25),
        rotate=20.0,
        shear=10.0,
        perspective=0.2,
        perspective_p=0.5,
    ),
    colour=ColourSpec(p=0.8, brightness=0.3, contrast=0.3, saturation=0.4, hue=0.1, gamma=0.3),
    blur=BlurSpec(p=0.5),
    noise=NoiseSpec(p=0.5),
    jpeg=JpegSpec(p=0.5),
    erasing=ErasingSpec(p=0.5),
)


def _draw(spec: AugmentSpec, seed: int, image_hw: tuple[int, int] = (90, 120)) -> AugmentParams:
    return sample_params(spec, generator("test", seed), image_hw, (48, 64))


def _same(first: AugmentParams, second: AugmentParams) -> bool:
    a, b = dataclasses.asdict(first), dataclasses.asdict(second)
    return np.array_equal(a.pop("matrix"), b.pop("matrix")) and a == b


def test_same_seed_same_parameters_other_seed_others() -> None:
    assert all(_same(_draw(EVERYTHING, seed), _draw(EVERYTHING, seed)) for seed in range(20))
    assert not _same(_draw(EVERYTHING, 1), _draw(EVERYTHING, 2))


def test_strength_of_one_part_leaves_the_others_alone() -> None:
    calm = EVERYTHING.replace(colour=ColourSpec(), geometry=GeometrySpec())
    for seed in range(20):
        full, part = _draw(EVERYTHING, seed), _draw(calm, seed)
        assert part.colour is None
        assert (full.erase, full.blur_sigma, full.noise_std, full.jpeg_quality) == (
            part.erase,
            part.blur_sigma,
            part.noise_std,
            part.jpeg_quality,
        )


@pytest.mark.parametrize(
    ("image_hw", "offset"),
    [((90, 120), (28, 21)), ((91, 121), (28, 21)), ((20, 30), (-17, -14)), ((48, 64), (0, 0))],
)
def test_no_augmentation_is_the_middle(image_hw: tuple[int, int], offset: tuple[int, int]) -> None:
    params = _draw(AugmentSpec(), 0, image_hw)
    assert params.matrix.tolist() == geometry.translation(*offset).tolist()
    assert params.erase == ()
    assert params.colour is None


def test_random_crops_are_whole_pixels_and_reach_every_position() -> None:
    spec = AugmentSpec(geometry=GeometrySpec(crop="random", hflip=0.5))
    tops, lefts = set(), set()
    for seed in range(400):
        copy = geometry.find_pixel_copy(_draw(spec, seed, (50, 67)).matrix, (48, 64))
        assert copy is not None
        tops.add(copy.top)
        lefts.add(copy.left)
    assert tops == {0, 1, 2}
    assert lefts == {0, 1, 2, 3}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    image_hw=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    crop_hw=st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_crop_lies_in_the_image_or_the_image_in_the_crop(
    seed: int, image_hw: tuple[int, int], crop_hw: tuple[int, int]
) -> None:
    params = sample_params(EVERYTHING, generator(seed), image_hw, crop_hw)
    left, top, right, bottom = geometry.footprint(params.matrix, crop_hw)
    for low, high, size in ((left, right, image_hw[1]), (top, bottom, image_hw[0])):
        inside = low >= -1e-6 and high <= size + 1e-6
        around = low <= 1e-6 and high >= size - 1e-6
        assert inside or around
    for y0, x0, y1, x1 in params.erase:
        assert 0 <= y0 < y1 <= crop_hw[0]
        assert 0 <= x0 < x1 <= crop_hw[1]
    assert params.jpeg_quality == 0 or 40 <= params.jpeg_quality <= 90
    assert params.blur_sigma == 0 or 0.1 <= params.blur_sigma <= 1.5 + 1e-9


def test_zoom_of_two_shows_half_the_source() -> None:
    spec = AugmentSpec(geometry=GeometrySpec(scale=(2.0, 2.0)))
    left, top, right, bottom = geometry.footprint(_draw(spec, 0).matrix, (48, 64))
    assert (right - left, bottom - top) == (32.0, 24.0)
    assert (left, top) == (44.0, 33.0)


def test_rotation_keeps_lengths_and_angles() -> None:
    spec = AugmentSpec(geometry=GeometrySpec(rotate=180.0))
    matrix = _draw(spec, 3).matrix
    linear = matrix[:2, :2]
    assert linear @ linear.T == pytest.approx(np.eye(2))
    assert np.linalg.det(linear) == pytest.approx(1.0)


def test_rare_class_crop_shows_the_rare_class() -> None:
    mask = np.zeros((360, 480), dtype=np.uint8)
    mask[300:308, 20:28] = 7
    mask[100:200, 100:200] = 255
    plain = AugmentSpec(geometry=GeometrySpec(crop="random", scale=(0.9, 1.2)))
    rare = plain.replace(geometry=plain.geometry.replace(rare_class_crop=1.0))

    def share(spec: AugmentSpec) -> float:
        hits = 0
        for seed in range(200):
            rng = generator("rare", seed)
            matrix = sample_params(spec, rng, (360, 480), (96, 128), mask).matrix
            left, top, right, bottom = geometry.footprint(matrix, (96, 128))
            hits += left < 28 and right > 20 and top < 308 and bottom > 300
        return hits / 200

    # Two classes are present, so about half of the crops go for the rare one.
    assert share(plain) < 0.25
    assert 0.45 < share(rare) < 0.75


def test_rare_class_crop_works_on_a_mask_of_another_size_and_on_all_void() -> None:
    mask = np.full((40, 40), 255, dtype=np.uint8)
    spec = AugmentSpec(geometry=GeometrySpec(crop="random", rare_class_crop=1.0))
    free = spec.replace(geometry=GeometrySpec(crop="random"))
    drawn = [sample_params(s, generator(1), (400, 400), (64, 64), mask) for s in (spec, free)]
    assert _same(*drawn)
    mask[32:36, 8:12] = 2
    left, top, right, bottom = geometry.footprint(
        sample_params(spec, generator(1), (400, 400), (64, 64), mask).matrix, (64, 64)
    )
    assert left < 120
    assert right > 80
    assert top < 360
    assert bottom > 320


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ShapeError, match=r"sizes must be positive, got image \(0, 5\)"):
        sample_params(AugmentSpec(), generator(0), (0, 5), (4, 4))
