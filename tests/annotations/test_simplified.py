"""Export above tolerance 0: what outlines may do, in every way of drawing that a format has."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.annotations.contours import find_regions
from seglab.annotations.drawing import Drawing, draw_again
from seglab.annotations.format import annotation_format, format_names
from seglab.annotations.vectorise import to_shapes

VOID = 255
NAMES = {0: "road", 1: "car", 2: "sign"}
READ = [name for name in format_names() if annotation_format(name).drawing.has_polygons]
DRAWINGS = {repr(annotation_format(name).drawing): annotation_format(name).drawing for name in READ}


@st.composite
def label_maps(draw: st.DrawFn) -> np.ndarray:
    """Blocks and discs of three classes and void, with specks and lines of a pixel on them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    values = np.array(draw(st.sampled_from([[0, 1], [0, 1, 2], [0, 1, 2, VOID]])), np.uint8)
    scale = draw(st.integers(1, 7))
    coarse = rng.choice(values, (-(-height // scale), -(-width // scale)))
    mask = np.kron(coarse, np.ones((scale, scale), np.uint8))[:height, :width].copy()
    for _ in range(draw(st.integers(0, 3))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(mask, centre, int(rng.integers(0, 9)), int(rng.choice(values)), -1)
        ends = rng.integers(0, (width, height), (2, 2)).tolist()
        cv2.line(mask, ends[0], ends[1], int(rng.choice(values)), 1)
    for _ in range(draw(st.integers(0, 5))):
        mask[rng.integers(0, height), rng.integers(0, width)] = rng.choice(values)
    return mask


def drawn_as(mask: np.ndarray, drawing: Drawing, tolerance: float) -> np.ndarray:
    shapes = to_shapes(mask, NAMES, drawing, VOID, tolerance)
    value_of = {name: value for value, name in NAMES.items()}
    values = [VOID, *(value_of.get(shape.label, VOID) for shape in shapes)]
    return np.array(values)[draw_again(shapes, mask.shape, drawing)]


def near(inside: np.ndarray, pixels: int) -> np.ndarray:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(inside.astype(np.uint8), kernel) > 0


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
@settings(max_examples=15, deadline=None)
@given(mask=label_maps(), tolerance=st.sampled_from([0.5, 1.0, 2.0]))
def test_outlines_that_move_lose_no_object_and_leave_no_gap(
    drawing: Drawing, mask: np.ndarray, tolerance: float
) -> None:
    drawn = drawn_as(mask, drawing, tolerance)
    regions = find_regions(mask, VOID)
    count = len(regions.values)
    pixels = np.bincount(regions.index.reshape(-1), minlength=count)[1:]
    kept = np.bincount(regions.index[drawn == mask], minlength=count)[1:]
    assert (2 * kept >= pixels).all(), "expected at least half of every region"
    reach = math.ceil(tolerance)
    bare = (drawn == VOID) & (mask != VOID) & ~near(mask == VOID, reach)
    assert not bare.any(), "expected no gap between neighbours"
    inner = np.ones(mask.shape, bool)
    for value in np.unique(mask):
        inner &= ~near(mask == value, reach + 1) | ~near(mask != value, reach + 1)
    assert (drawn == mask)[inner].all(), "expected pixels far from any outline to stay"
