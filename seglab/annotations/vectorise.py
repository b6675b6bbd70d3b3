"""From a label map to the shapes of a format, drawn again to see that nothing was lost.

Regions come in the order of their filled area, largest first, so that what lies in a hole is drawn
later. A format that draws later over earlier needs no holes then. What a polygon cannot hold (a hole
with nothing in it where holes are filled, an outline that the tool's rasteriser draws otherwise) becomes
a mask where the format has masks, at tolerance 0. Above it, the outlines of regions that would be lost
stay exact, and pixels that would be left between neighbours become small parts of their class.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from seglab.annotations.contours import (
    Arc,
    Regions,
    assemble,
    find_regions,
    ring_area,
    simplify,
    trace,
)
from seglab.annotations.drawing import Drawing, draw_again
from seglab.annotations.rasterise import CornerCanvas, GridCanvas
from seglab.annotations.shapes import Shape

_OUTSIDE = 0


def to_shapes(
    mask: np.ndarray,
    names: Mapping[int, str],
    drawing: Drawing,
    unlabelled: int,
    tolerance: float = 0.0,
) -> list[Shape]:
    """Return shapes that draw a label map.

    Args:
        mask: uint8 `(H, W)`.
        names: Label by value; all values must be in it, but for `unlabelled`, which is `void` there
            unless it says otherwise.
        drawing: What the format is like.
        unlabelled: Value of pixels that no shape covers.
        tolerance: How far outlines may move, in pixels; 0 keeps them.

    Returns:
        In drawing order. A format without holes and masks gets shapes of what is not labelled, too, where
        labelled pixels enclose it. Of every region at least half the pixels are drawn as their class, and
        labelled pixels farther than `tolerance` from unlabelled ones are drawn as some class.
    """
    if not (drawing.has_masks or drawing.has_holes):
        mask, names = _holes_named(mask, names, unlabelled)
    regions = find_regions(mask, unlabelled)
    order = _order(regions)
    if not drawing.has_polygons:
        return [_mask_shape(regions, number, names) for number in order]
    shapes = _polygons(regions, order, names, drawing, tolerance)
    if tolerance <= 0:
        return _exact(shapes, regions, order, names, drawing)
    return shapes + _missing(shapes, regions, order, names, drawing, tolerance)


def _order(regions: Regions) -> list[int]:
    """Return the numbers of regions, what lies in a hole after what is around it."""
    return sorted(range(1, len(regions.values)), key=lambda n: (-int(regions.areas[n]), n))


def _holes_named(
    mask: np.ndarray, names: Mapping[int, str], unlabelled: int
) -> tuple[np.ndarray, Mapping[int, str]]:
    """Give unlabelled pixels that do not reach the border of the image a value of their own."""
    _, parts = cv2.connectedComponents((mask == unlabelled).astype(np.uint8), connectivity=4)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    inside = (parts > 0) & ~np.isin(parts, border)
    spare = sorted(set(range(256)) - names.keys() - {unlabelled})
    if not spare or not inside.any():
        return mask, names
    value = spare[-1]
    named = np.where(inside, value, mask).astype(np.uint8)
    return named, {**names, value: names.get(unlabelled, "void")}


def _mask_shape(regions: Regions, number: int, names: Mapping[int, str]) -> Shape:
    rows, columns = regions.boxes[number]
    corner = np.array([[columns.start, rows.start]], dtype=float)
    label = names[int(regions.values[number])]
    return Shape(label, "mask", (corner,), bitmap=regions.bitmap(number), group=number)


def _polygons(
    regions: Regions, order: list[int], names: Mapping[int, str], drawing: Drawing, tolerance: float
) -> list[Shape]:
    rank: dict[int, int] = {number: place for place, number in enumerate(order, 1)}
    rank[_OUTSIDE] = 0
    by_corner = drawing.canvas is CornerCanvas
    exact: set[tuple[int, ...]] = set()
    rings = trace(regions.index)

    def outline(arc: Arc) -> np.ndarray:
        allowed = 0.0 if arc.key in exact else tolerance
        points = arc.corners if by_corner else _pixels(arc, rank)
        return simplify(points, allowed, arc.closed and len(points) > 2)

    if drawing.by_area and tolerance <= 0:
        # Pixels of others would add to the area, by which the order is decided.
        own: dict[int, list[np.ndarray]] = {}
        for number in order:
            rank = defaultdict(int, {number: 1})
            own[number] = [assemble(arcs, outline, {}) for arcs in rings[number]]
        return [_polygon(regions, number, own[number], names, drawing) for number in order]
    while True:
        known: dict[tuple[int, ...], np.ndarray] = {}
        joined = {
            number: [assemble(arcs, outline, known) for arcs in rings[number]] for number in order
        }
        shapes = [
            _mask_shape(regions, number, names)
            if _needs_mask(rings[number], drawing)
            else _polygon(regions, number, joined[number], names, drawing)
            for number in order
        ]
        if tolerance <= 0:
            return shapes
        lost = np.flatnonzero(_lost(_drawn_as(shapes, regions, order, drawing), regions)).tolist()
        keys = {arc.key for number in lost for arcs in rings[number] for arc in arcs} - exact
        if not keys:
            return shapes
        exact |= keys


def _drawn_as(
    shapes: list[Shape], regions: Regions, order: list[int], drawing: Drawing
) -> np.ndarray:
    """Return the value that each pixel is drawn as, `(H, W)`; that of unlabelled ones for none."""
    values = regions.values[[_OUTSIDE, *order]]
    drawn: np.ndarray = values[draw_again(shapes, regions.index.shape, drawing)]
    return drawn


def _lost(drawn: np.ndarray, regions: Regions) -> np.ndarray:
    """Return of which regions less than half is drawn as their class; boolean, by number."""
    count = len(regions.values)
    own = regions.index[drawn == regions.values[regions.index]]
    pixels, kept = (np.bincount(one.reshape(-1), minlength=count) for one in (regions.index, own))
    lost: np.ndarray = 2 * kept < pixels
    lost[_OUTSIDE] = False
    return lost


def _needs_mask(rings: list[list[Arc]], drawing: Drawing) -> bool:
    """Whether a region has holes that the format can neither cut out nor draw over."""
    if drawing.has_holes or not drawing.has_masks or len(rings) == 1:
        return False
    holes = [arcs for arcs in rings if ring_area(np.vstack([arc.corners for arc in arcs])) > 0]
    empty = any(arc.right == _OUTSIDE for arcs in holes for arc in arcs)
    return empty or not drawing.is_ordered


def _pixels(arc: Arc, rank: Mapping[int, int]) -> np.ndarray:
    """Return the pixels along an arc, on the side of the region that is drawn later."""
    left = rank[arc.left] > rank[arc.right]
    step = np.diff(arc.corners, axis=0)
    # The pixel beside a unit step from corner to corner: up is -y, so left of (1, 0) is above it.
    x, y = arc.corners[:-1, 0], arc.corners[:-1, 1]
    across = np.stack([step[:, 1], -step[:, 0]], 1) * (1 if left else -1)
    middle = np.stack([2 * x + step[:, 0], 2 * y + step[:, 1]], 1) + across
    pixels = (middle - 1) // 2
    fresh = np.concatenate([[True], (np.diff(pixels, axis=0) != 0).any(1)])
    pixels = pixels[fresh]
    if arc.closed and (len(pixels) == 1 or (pixels[0] != pixels[-1]).any()):
        pixels = np.vstack([pixels, pixels[:1]])
    return pixels


def _polygon(
    regions: Regions,
    number: int,
    rings: list[np.ndarray],
    names: Mapping[int, str],
    drawing: Drawing,
) -> Shape:
    """Return a region as a polygon: its outermost ring, and its holes where the format has them."""
    spans = [float(np.ptp(one[:, 0])) + float(np.ptp(one[:, 1])) for one in rings]
    outer = int(np.argmax(spans))
    holes = [one for place, one in enumerate(rings) if place != outer]
    shift = 0.5 if drawing.canvas is GridCanvas else 0.0
    return Shape(
        names[int(regions.values[number])],
        "polygon",
        (_at_least_three(rings[outer]) + shift,),
        tuple(_at_least_three(one) + shift for one in holes) if drawing.has_holes else (),
        group=number,
    )


def _at_least_three(points: np.ndarray) -> np.ndarray:
    """Return a ring of three vertices or more, as tools ask of a polygon."""
    missing = 3 - len(points)
    return np.vstack([points, *[points[-1:]] * missing]).astype(float)


def _exact(
    shapes: list[Shape],
    regions: Regions,
    order: list[int],
    names: Mapping[int, str],
    drawing: Drawing,
) -> list[Shape]:
    """Put masks in the place of polygons that draw what they should not, or leave out what they should."""
    if not drawing.has_masks:
        return shapes
    place_of = np.zeros(len(regions.values), np.int32)
    place_of[order] = np.arange(1, len(order) + 1)
    wanted = place_of[regions.index]
    while True:
        drawn = draw_again(shapes, wanted.shape, drawing)
        wrong = drawn != wanted
        guilty = (set(drawn[wrong].tolist()) | set(wanted[wrong].tolist())) - {0}
        guilty = {one for one in guilty if shapes[one - 1].kind == "polygon"}
        if not guilty:
            return shapes
        for one in guilty:
            shapes[one - 1] = _mask_shape(regions, order[one - 1], names)


def _missing(
    shapes: list[Shape],
    regions: Regions,
    order: list[int],
    names: Mapping[int, str],
    drawing: Drawing,
    tolerance: float,
) -> list[Shape]:
    """Return parts for gaps between neighbours, and for regions of which others cover the most.

    A gap is labelled pixels that nothing covers, farther from unlabelled ones than outlines may move.
    """
    drawn = _drawn_as(shapes, regions, order, drawing)
    unlabelled = int(regions.values[_OUTSIDE])
    mask = regions.values[regions.index]
    side = 2 * math.ceil(tolerance) + 1
    void = (mask == unlabelled).astype(np.uint8)
    gaps = (drawn == unlabelled) & (cv2.dilate(void, np.ones((side, side), np.uint8)) == 0)
    covered = (drawn != mask) & _lost(drawn, regions)[regions.index]
    parts = find_regions(np.where(gaps | covered, mask, unlabelled).astype(np.uint8), unlabelled)
    holds_holes = drawing.has_masks or drawing.has_holes
    found = []
    for some in [parts] if holds_holes else _without_holes(parts):
        inner = _order(some)
        outlines = _polygons(some, inner, names, drawing, 0.0)
        found += _exact(outlines, some, inner, names, drawing)
    return found


def _without_holes(regions: Regions) -> Iterator[Regions]:
    """Yield regions that have no holes, and those that have, cut into rows."""
    unlabelled = int(regions.values[_OUTSIDE])
    pixels = np.bincount(regions.index.reshape(-1), minlength=len(regions.values))
    holed = (regions.areas > pixels)[regions.index]
    odd = np.arange(len(holed))[:, None] % 2 == 1
    for kept in (~holed, holed & odd, holed & ~odd):
        mask = np.where(kept, regions.values[regions.index], unlabelled)
        yield find_regions(mask.astype(np.uint8), unlabelled)
