from __future__ import annotations

import hashlib
import multiprocessing

import numpy as np
import pytest

from seglab.core.errors import ShapeError
from seglab.data.synth import LABELS, SceneOptions, build_scene, render_frame
from seglab.data.synth.drawing.classes import POLE, ROAD, SKY, TERRAIN, VEGETATION, VEHICLE
from seglab.data.synth.drawing.scene import SHIFTS
from seglab.data.synth.drawing.textures import tile_noise

SIZE = (96, 128)


def _digest(seed: int, group: int, frame: int) -> str:
    drawn = render_frame(build_scene(seed, group), frame, SIZE)
    return hashlib.sha256(drawn.image.tobytes() + drawn.mask.tobytes()).hexdigest()


def test_frame_has_the_contracted_form():
    frame = render_frame(build_scene(0, 1), 0, SIZE)
    assert frame.image.shape == (*SIZE, 3)
    assert frame.image.dtype == np.uint8
    assert frame.mask.shape == SIZE
    assert frame.mask.dtype == np.uint8
    assert set(np.unique(frame.mask)) <= {*range(LABELS.num_classes), LABELS.ignore_index}
    assert frame.tags == tuple(sorted(frame.tags))
    assert {"day", "overcast", "dusk", "night"} & set(frame.tags)


def test_frame_depends_on_seed_group_and_frame_only():
    first = _digest(3, 2, 1)
    _digest(9, 9, 9)
    assert _digest(3, 2, 1) == first
    assert len({first, _digest(4, 2, 1), _digest(3, 3, 1), _digest(3, 2, 2)}) == 4


def test_frame_is_the_same_in_another_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_digest, (3, 2, 1)) == _digest(3, 2, 1)


def test_frames_can_be_drawn_in_any_order():
    scene = build_scene(0, 5)
    late = render_frame(scene, 4, SIZE)
    render_frame(scene, 0, SIZE)
    np.testing.assert_array_equal(render_frame(build_scene(0, 5), 4, SIZE).image, late.image)


def test_frames_of_a_group_resemble_each_other_more_than_other_groups():
    first, second = (render_frame(build_scene(0, 5), n, SIZE).mask for n in (0, 1))
    others = [render_frame(build_scene(0, group), 0, SIZE).mask for group in range(6, 10)]
    same = float((first == second).mean())
    assert same > 0.85
    assert same > max(float((first == other).mean()) for other in others)
    assert same < 1.0


@pytest.mark.parametrize("size", [(48, 48), (51, 77), (120, 64)])
def test_any_size_renders(size: tuple[int, int]):
    frame = render_frame(build_scene(1, 0), 0, size)
    assert frame.image.shape == (*size, 3)
    assert frame.mask.shape == size


def test_too_small_a_frame_is_refused():
    with pytest.raises(ShapeError, match="at least 32 px a side, got \\(16, 64\\)"):
        render_frame(build_scene(0, 0), 0, (16, 64))


def test_void_lies_only_between_leaves_and_what_is_behind_them():
    scene = build_scene(0, 1, SceneOptions(is_complete=True))
    crisp = render_frame(scene, 0, SIZE, void_border=0)
    fuzzy = render_frame(scene, 0, SIZE, void_border=1)
    assert not (crisp.mask == LABELS.ignore_index).any()
    void = fuzzy.mask == LABELS.ignore_index
    assert void.any()
    np.testing.assert_array_equal(crisp.mask[~void], fuzzy.mask[~void])
    assert set(np.unique(crisp.mask[void])) <= {VEGETATION, SKY, TERRAIN}
    np.testing.assert_array_equal(crisp.image, fuzzy.image)


def test_complete_scene_shows_every_class_in_its_first_frame():
    for seed in range(6):
        scene = build_scene(seed, 0, SceneOptions(is_complete=True, has_rare=False))
        mask = render_frame(scene, 0, (192, 256)).mask
        assert set(np.unique(mask)) - {LABELS.ignore_index} == set(range(LABELS.num_classes)), seed


def test_scene_without_rare_classes_shows_none():
    for group in range(6):
        scene = build_scene(0, group, SceneOptions(has_rare=False))
        for frame in (0, 3):
            mask = render_frame(scene, frame, SIZE).mask
            assert not np.isin(mask, (VEHICLE, POLE)).any()


def test_long_drive_never_runs_out_of_things():
    scene = build_scene(0, 0, SceneOptions(is_complete=True))
    shares = [np.isin(render_frame(scene, n, SIZE).mask, (SKY, ROAD, TERRAIN)) for n in (0, 500)]
    assert all(0.2 < float(share.mean()) < 0.99 for share in shares)


@pytest.mark.parametrize("shift", [shift for shift in SHIFTS if shift != "none"])
def test_shift_changes_the_image_and_is_tagged(shift: str):
    plain, moved = SceneOptions(), SceneOptions(shift=shift)
    distances = []
    for group in range(3):
        first = render_frame(build_scene(0, group, plain), 0, SIZE)
        second = render_frame(build_scene(0, group, moved), 0, SIZE)
        assert f"shift_{shift}" in second.tags
        assert f"shift_{shift}" not in first.tags
        distances.append(np.abs(first.image.astype(int) - second.image).mean())
    assert max(distances) > 2.5


def test_night_shift_is_dark_and_fog_shift_is_flat():
    night = render_frame(build_scene(0, 1, SceneOptions(shift="night")), 0, SIZE)
    fog = render_frame(build_scene(0, 1, SceneOptions(shift="fog")), 0, SIZE)
    assert night.image.mean() < 80
    assert "night" in night.tags
    assert "fog" in fog.tags


def test_tile_noise_tiles_and_stays_in_range():
    noise = tile_noise(np.random.default_rng(0), 64, 7)
    assert noise.shape == (64, 64)
    assert 0.0 <= noise.min() < noise.max() <= 1.0
    inner = np.abs(np.diff(noise, axis=0)).max()
    seam = np.abs(noise[0] - noise[-1]).max()
    assert seam <= inner * 1.01


@pytest.mark.parametrize("shift", [shift for shift in SHIFTS if shift != "none"])
def test_shift_leaves_the_mask_alone(shift: str) -> None:
    for group in range(4):
        plain = render_frame(build_scene(0, group), 1, SIZE)
        moved = render_frame(build_scene(0, group, SceneOptions(shift=shift)), 1, SIZE)
        np.testing.assert_array_equal(plain.mask, moved.mask)
