from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seglab.augment.options import AugmentSpec, GeometrySpec, MixingSpec
from seglab.augment.preview import (
    PreviewOptions,
    PreviewSample,
    augment_batch,
    overlay_mask,
    preview_grid,
)
from seglab.core.errors import ShapeError
from seglab.core.labels import LabelSpace

LABELS = LabelSpace(("sky", "road", "car", "tree", "sign"), palette=((200, 0, 0),) * 5)
SPEC = AugmentSpec(geometry=GeometrySpec(crop="random", hflip=0.5, scale=(0.5, 1.0)))


@pytest.fixture
def samples(scene: tuple[np.ndarray, np.ndarray]) -> list[PreviewSample]:
    image, mask = scene
    return [
        PreviewSample("first", image, mask),
        PreviewSample("a_very_long_sample_id_that_fits_nowhere", image[..., 0], mask[::2, ::2]),
    ]


@pytest.mark.parametrize("backend", ["uint8", "kornia"])
def test_grid_has_a_row_a_sample_and_is_repeatable(
    samples: list[PreviewSample], backend: str
) -> None:
    spec = SPEC.replace(backend=backend, mixing=MixingSpec(cutmix=0.5))
    options = PreviewOptions((48, 64), num_versions=3)
    grid = preview_grid(samples, LABELS, spec, options)
    assert grid.dtype == np.uint8
    # Captions 18, two pictures with gaps of 4 under each; cells are at least 160 wide.
    assert grid.shape[0] > 2 * (18 + 2 * (48 + 4))
    assert grid.shape[1:] == (4 * 164, 3)
    assert np.array_equal(grid, preview_grid(samples, LABELS, spec, options))
    other = preview_grid(samples, LABELS, spec, dataclasses.replace(options, seed=1))
    assert not np.array_equal(grid, other)


def test_original_stands_first_unchanged(samples: list[PreviewSample]) -> None:
    grid = preview_grid(samples, LABELS, SPEC, PreviewOptions((90, 120)))
    assert np.array_equal(grid[18 : 18 + 90, :120], samples[0].image)


def test_captions_and_legend_leave_ink(samples: list[PreviewSample]) -> None:
    grid = preview_grid(samples, LABELS, SPEC, PreviewOptions((48, 64), num_versions=1))
    assert (grid[:18, :60] < 100).any()
    assert (grid[-20:] == np.array([200, 0, 0])).all(axis=-1).any()


def test_overlay_shows_classes_and_hatches_void() -> None:
    image = np.full((20, 40, 3), 100, dtype=np.uint8)
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[:, 10:] = 255
    shown = overlay_mask(image, mask, LABELS)
    assert np.unique(shown[:, :20].reshape(-1, 3), axis=0).tolist() == [[155, 45, 45]]
    stripes = np.unique(shown[:, 20:].reshape(-1, 3), axis=0).tolist()
    assert stripes == [[40, 40, 40], [193, 193, 193]]
    assert overlay_mask(image[..., 0], mask, LABELS).shape == (20, 40, 3)


def test_both_back_ends_show_the_same(samples: list[PreviewSample]) -> None:
    options = PreviewOptions((48, 64))
    first, second = (
        augment_batch(samples, LABELS, SPEC.replace(backend=name), options, 0)
        for name in ("uint8", "kornia")
    )
    for (image, mask), (other_image, other_mask) in zip(first, second, strict=True):
        assert (np.abs(image.astype(int) - other_image) <= 2).mean() > 0.998
        assert (mask == other_mask).mean() > 0.998


def test_no_samples_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least one sample"):
        preview_grid([], LABELS, SPEC, PreviewOptions((48, 64)))
