"""Which pixels belong to which slice, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.metrics.shape.slices import BOUNDARY, SIZES, boundary_band, object_areas, pixel_slices


def test_band_lies_on_both_sides_of_an_edge() -> None:
    mask = np.zeros((5, 10), dtype=np.int64)
    mask[:, 5:] = 1
    band = boundary_band(mask, tolerance_px=2)
    assert band.all(axis=0).tolist() == [False] * 3 + [True] * 4 + [False] * 3
    assert not boundary_band(np.zeros((5, 5), dtype=np.int64), 2).any()


def test_area_of_each_pixels_object() -> None:
    mask = np.array([[1, 1, 0, 255], [1, 0, 0, 1], [0, 0, 0, 1]])
    # The two objects of class 1 have 3 and 2 pixels; diagonal neighbours belong together.
    assert object_areas(mask, 255).tolist() == [[3, 3, 6, 0], [3, 6, 6, 2], [6, 6, 6, 2]]


def test_sizes_are_those_of_coco() -> None:
    mask = np.full((200, 200), 255)
    mask[:31, :31] = 0  # 961 pixels
    mask[40:72, :32] = 0  # 1024
    mask[80:176, :96] = 1  # 9216
    slices = pixel_slices(mask, 255)
    assert [int(slices[name].sum()) for name in SIZES] == [961, 1024, 9216]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 40), st.integers(3, 40))
def test_every_valid_pixel_has_one_size_and_one_place(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice([0, 1, 2, 255], size=(height, width))
    slices = pixel_slices(mask, 255)
    sizes = sum(slices[name].astype(int) for name in SIZES)
    assert (sizes == (mask != 255)).all()
    assert (slices[BOUNDARY[0]] ^ slices[BOUNDARY[1]]).all()
