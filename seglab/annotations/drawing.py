"""How a format draws its shapes, and what is on top when it does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seglab.annotations.rasterise import Canvas
from seglab.annotations.shapes import Shape


@dataclass(frozen=True)
class Drawing:
    """How a format draws, and what it can hold.

    Attributes:
        canvas: Its rasteriser.
        has_masks: Whether a shape may be a bitmap.
        has_polygons: Whether a shape may be a polygon.
        has_holes: Whether a polygon may have holes.
        is_ordered: Whether later shapes cover earlier ones; else no pixel is in two.
        by_area: Whether smaller shapes cover larger ones, however they are listed.
    """

    canvas: type[Canvas]
    has_masks: bool = True
    has_polygons: bool = True
    has_holes: bool = False
    is_ordered: bool = True
    by_area: bool = False


def drawn_area(shape: Shape, drawing: Drawing, height: int, width: int) -> int:
    """Return how many pixels of an image a polygon or mask covers, drawn alone."""
    if shape.bitmap is not None:
        return int(shape.bitmap.sum())
    if not shape.rings:
        return 0
    points = np.concatenate(shape.rings)
    # Drawn within its box: an image may hold thousands of shapes.
    low = np.clip(np.floor(points.min(0)), 0, None)
    columns, rows = np.minimum(np.ceil(points.max(0)) + 2, (width, height)) - low
    if rows < 1 or columns < 1:
        return 0
    canvas = drawing.canvas(int(rows), int(columns), 0)
    rings, holes = ([one - low for one in some] for some in (shape.rings, shape.holes))
    canvas.draw(replace(shape, rings=tuple(rings), holes=tuple(holes)), 1)
    return int(np.count_nonzero(canvas.pixels))


def draw_again(shapes: list[Shape], shape: tuple[int, int], drawing: Drawing) -> np.ndarray:
    """Draw shapes as the format orders them; return the place of the one on top, from 1, int32 `(H, W)`."""
    height, width = shape
    order = list(range(len(shapes)))
    if drawing.by_area:
        order.sort(key=lambda place: -drawn_area(shapes[place], drawing, height, width))
    top = np.zeros(shape, np.int32)
    for start in range(0, len(order), 254):
        canvas = drawing.canvas(height, width, 0)
        places = np.array([-1, *order[start : start + 254]], np.int32) + 1
        for value, place in enumerate(order[start : start + 254], 1):
            canvas.draw(shapes[place], value)
        drawn = canvas.pixels
        top[drawn > 0] = places[drawn[drawn > 0]]
    return top
