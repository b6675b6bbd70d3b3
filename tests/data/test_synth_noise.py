from __future__ import annotations

import numpy as np
import pytest

from seglab.data.synth.drawing.classes import (
    BUILDING,
    LABELS,
    POLE,
    SKY,
    TERRAIN,
    VEGETATION,
    VEHICLE,
)
from seglab.data.synth.noise import NOISE_KINDS, add_noise

VOID = LABELS.ignore_index


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _mask() -> np.ndarray:
    """Sky above, terrain below; one car on the terrain, one tree with a void outline in the sky."""
    mask = np.full((192, 256), SKY, dtype=np.uint8)
    mask[96:] = TERRAIN
    mask[120:150, 100:150] = VEHICLE
    mask[29:71, 39:81] = VOID
    mask[30:70, 40:80] = VEGETATION
    return mask


@pytest.mark.parametrize("kind", list(NOISE_KINDS))
def test_noise_changes_the_mask_and_leaves_the_input_alone(kind: str):
    clean = _mask()
    for seed in range(8):
        noisy, parameters = add_noise(kind, clean, _rng(seed))
        assert noisy.dtype == np.uint8
        assert noisy.shape == clean.shape
        assert (noisy != clean).any()
        assert set(np.unique(noisy)) <= {*range(LABELS.num_classes), VOID}
        assert parameters
    np.testing.assert_array_equal(clean, _mask())


@pytest.mark.parametrize("kind", list(NOISE_KINDS))
def test_noise_is_a_function_of_its_generator(kind: str):
    first, second = (add_noise(kind, _mask(), _rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_missing_removes_one_object_and_its_void_outline():
    seen = set()
    for seed in range(12):
        noisy, parameters = add_noise("noise_missing", _mask(), _rng(seed))
        seen.add(parameters["class"])
        if parameters["class"] == "vehicle":
            assert parameters["box_xyxy"] == [100, 120, 150, 150]
            assert parameters["area_px"] == 30 * 50
            assert (noisy[120:150, 100:150] == TERRAIN).all()
            assert (noisy == VEGETATION).sum() == 40 * 40
        else:
            assert (noisy[29:71, 39:81] == SKY).all()
            assert (noisy == VEHICLE).sum() == 30 * 50
    assert seen == {"vehicle", "vegetation"}


def test_swap_renames_one_object_and_nothing_else():
    noisy, parameters = add_noise("noise_swap", _mask(), _rng(1))
    wrong = LABELS.class_names.index(parameters["labelled_as"])
    right = LABELS.class_names.index(parameters["class"])
    changed = noisy != _mask()
    assert changed.sum() == parameters["area_px"]
    assert set(_mask()[changed]) == {right}
    assert set(noisy[changed]) == {wrong}


def test_shift_moves_the_whole_mask_by_what_is_recorded():
    clean = _mask()
    noisy, parameters = add_noise("noise_shift", clean, _rng(2))
    down, right = parameters["down_px"], parameters["right_px"]
    assert 3 <= np.hypot(down, right) <= 11
    inner = slice(20, -20)
    moved = np.roll(clean, (down, right), axis=(0, 1))
    np.testing.assert_array_equal(noisy[inner, inner], moved[inner, inner])


def test_boundary_kinds_widen_tighten_or_fray_objects():
    areas: dict[str, list[float]] = {}
    for seed in range(24):
        noisy, parameters = add_noise("noise_boundary", _mask(), _rng(seed))
        ratio = (noisy == VEHICLE).sum() / (30 * 50)
        areas.setdefault(parameters["how"], []).append(float(ratio))
        assert 2.0 <= parameters["radius_px"] <= 5.0
    assert min(areas["dilated"]) > 1.1
    assert max(areas["eroded"]) < 0.9
    assert all(0.5 < ratio < 1.5 for ratio in areas["jagged"])


@pytest.mark.parametrize("kind", ["noise_missing", "noise_swap"])
def test_object_noise_needs_an_object(kind: str):
    assert add_noise(kind, np.full((96, 96), SKY, dtype=np.uint8), _rng()) is None
    speck = np.full((96, 96), SKY, dtype=np.uint8)
    speck[4, 4] = POLE
    assert add_noise(kind, speck, _rng()) is None


@pytest.mark.parametrize("kind", list(NOISE_KINDS))
def test_uniform_mask_cannot_be_spoilt(kind: str):
    for value in (SKY, BUILDING):
        assert add_noise(kind, np.full((64, 64), value, dtype=np.uint8), _rng()) is None
