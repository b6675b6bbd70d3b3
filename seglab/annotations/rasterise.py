"""Canvases: shapes become pixels exactly as the tool of a format draws them.

Three rasterisers are in use, and they differ by a pixel along every edge:

- `CentreCanvas` (LabelMe, Cityscapes): Pillow's; integer coordinates are pixel centres, edges inclusive.
- `CornerCanvas` (COCO, CVAT, Label Studio): that of pycocotools; integer coordinates are pixel corners.
- `GridCanvas` (YOLO, Supervisely): OpenCV's `fillPoly`; vertices are cut to whole pixels, edges inclusive.

Later shapes cover earlier ones. What lies outside the image is cut off.

References:
    COCO API, maskApi.c: https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import cv2
import numpy as np
from PIL import Image, ImageDraw

from seglab.annotations.shapes import Shape
from seglab.core.errors import DataError

_OVERSAMPLED = 5
_MOST_STEPS = 50_000_000
POINT_RADIUS = 5


class Canvas(ABC):
    """A label map to draw on.

    Args:
        height: Pixels.
        width: Pixels.
        fill: Value of what nothing is drawn on, 0..255.
        line_width: Pixels, for lines; 0: lines and points are not drawn.
    """

    def __init__(self, height: int, width: int, fill: int, line_width: int = 0) -> None:
        self.height, self.width = height, width
        self.line_width = line_width
        self._pixels = np.full((height, width), fill, np.uint8)

    @property
    def pixels(self) -> np.ndarray:
        """The label map, uint8 `(H, W)`."""
        return self._pixels

    def draw(self, shape: Shape, value: int) -> bool:
        """Draw a shape in a value; return whether its kind has an area here."""
        if shape.kind == "mask":
            self._paste(shape, value)
        elif shape.kind == "polygon":
            self._polygon(shape, value)
        elif shape.kind == "box":
            self._box(shape.rings[0], value)
        elif shape.kind == "ellipse":
            self._ellipse(shape, value)
        elif self.line_width:
            self._open(shape, value)
        else:
            return False
        return True

    def _paste(self, shape: Shape, value: int) -> None:
        if shape.bitmap is None:
            raise DataError("a mask without pixels")
        left, top = (int(number) for number in shape.rings[0][0])
        height, width = shape.bitmap.shape
        rows = slice(max(top, 0), min(top + height, self.height))
        columns = slice(max(left, 0), min(left + width, self.width))
        if rows.start < rows.stop and columns.start < columns.stop:
            part = shape.bitmap[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            self.pixels[rows, columns][part] = value

    @abstractmethod
    def _polygon(self, shape: Shape, value: int) -> None: ...

    def _box(self, corners: np.ndarray, value: int) -> None:
        (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
        outline = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        self._polygon(Shape("", "polygon", (outline,)), value)

    def _ellipse(self, shape: Shape, value: int) -> None:
        # As CVAT does it for all its exports: whole numbers, OpenCV's ellipse.
        centre, radii = shape.rings[0].tolist()
        if max(map(abs, (*centre, *radii))) > 2**14:
            raise DataError("an ellipse farther or larger than 16,384 pixels")
        cv2.ellipse(
            self.pixels,
            (round(centre[0]), round(centre[1])),
            (round(abs(radii[0])), round(abs(radii[1]))),
            shape.rotation,
            0,
            360,
            value,
            -1,
        )

    def _open(self, shape: Shape, value: int) -> None:
        inside = [np.clip(one, -(2.0**14), 2.0**14).round().astype(np.int32) for one in shape.rings]
        if shape.kind == "line":
            cv2.polylines(self.pixels, inside, False, value, max(self.line_width, 1))
            return
        for x, y in np.concatenate(inside).tolist():
            cv2.circle(self.pixels, (x, y), POINT_RADIUS, value, -1)


class CentreCanvas(Canvas):
    """Pillow's drawing, as LabelMe and cityscapesScripts use it."""

    def __init__(self, height: int, width: int, fill: int, line_width: int = 0) -> None:
        super().__init__(height, width, fill, line_width)
        self._picture = Image.fromarray(self._pixels)
        self._pen = ImageDraw.Draw(self._picture)

    @property
    def pixels(self) -> np.ndarray:
        """The label map, uint8 `(H, W)`."""
        return np.asarray(self._picture)

    def _paste(self, shape: Shape, value: int) -> None:
        if shape.bitmap is None:
            raise DataError("a mask without pixels")
        left, top = (int(number) for number in shape.rings[0][0])
        self._picture.paste(
            value, (left, top), Image.fromarray(shape.bitmap.astype(np.uint8) * 255)
        )

    def _polygon(self, shape: Shape, value: int) -> None:
        for outline in shape.rings:
            self._pen.polygon(_pairs(outline), fill=value, outline=value)

    def _box(self, corners: np.ndarray, value: int) -> None:
        low, high = corners.min(0), corners.max(0)
        self._pen.rectangle((*low.tolist(), *high.tolist()), fill=value, outline=value)

    def _ellipse(self, shape: Shape, value: int) -> None:
        (x, y), (rx, ry) = shape.rings[0].tolist()
        self._pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=value, outline=value)

    def _open(self, shape: Shape, value: int) -> None:
        for points in shape.rings:
            if shape.kind == "line":
                self._pen.line(_pairs(points), fill=value, width=self.line_width)
                continue
            for x, y in points.tolist():
                box = (x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS)
                self._pen.ellipse(box, fill=value, outline=value)


def _pairs(points: np.ndarray) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points.tolist()]


class GridCanvas(Canvas):
    """OpenCV's `fillPoly`, as Ultralytics and Supervisely use it."""

    def _polygon(self, shape: Shape, value: int) -> None:
        if not shape.holes:
            for outline in shape.rings:
                cv2.fillPoly(self.pixels, [outline.astype(np.int32)], value)
            return
        bitmap = np.zeros(self.pixels.shape, np.uint8)
        cv2.fillPoly(bitmap, [one.astype(np.int32) for one in shape.rings], 1)
        for hole in shape.holes:
            cv2.fillPoly(bitmap, [hole.astype(np.int32)], 0)
        self.pixels[bitmap > 0] = value


class CornerCanvas(Canvas):
    """pycocotools' filling, the same bits; parts are joined, holes cut out."""

    def _polygon(self, shape: Shape, value: int) -> None:
        columns = slice(0, self.width)
        if not shape.holes and len(shape.rings) == 1:
            columns, inside = fill_corners(shape.rings[0], self.height, self.width)
        else:
            inside = np.zeros((self.height, self.width), bool)
            for rings, drawn in ((shape.rings, True), (shape.holes, False)):
                for outline in rings:
                    where, part = fill_corners(outline, self.height, self.width)
                    inside[:, where][part] = drawn
        self.pixels[:, columns][inside] = value


def fill_corners(outline: np.ndarray, height: int, width: int) -> tuple[slice, np.ndarray]:
    """Fill a polygon as pycocotools does.

    The boundary is walked in fifths of a pixel; where it crosses the middle of a column, the pixels
    below change sides.

    Args:
        outline: Float `(N, 2)`, x, y with whole numbers at pixel corners.
        height: Pixels of the image.
        width: Pixels of the image.

    Returns:
        The columns that may hold pixels, and boolean `(height, columns)`.

    Raises:
        DataError: The boundary is absurdly long.
    """
    # The same truncation towards zero as a cast in C.
    corners = (_OVERSAMPLED * outline + 0.5).astype(np.int64)
    u, v = _walk(corners)
    crosses = np.flatnonzero(np.diff(u))
    x = np.minimum(u[crosses], u[crosses + 1]) + 0.5
    x = x / _OVERSAMPLED - 0.5
    keep = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    x = x[keep].astype(np.int64)
    y = (np.minimum(v[crosses], v[crosses + 1])[keep] + 0.5) / _OVERSAMPLED - 0.5
    y = np.ceil(np.clip(y, 0, height)).astype(np.int64)
    if not len(x):
        return slice(0, 0), np.zeros((height, 0), bool)
    first, last = int(x.min()), int(x.max())
    size = (last - first + 1) * height
    changes = np.bincount((x - first) * height + y, minlength=size + 1)[:size]
    inside = (np.cumsum(changes) & 1).astype(bool)
    return slice(first, last + 1), inside.reshape(last - first + 1, height).T


def _walk(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all points of a closed line on the fine grid, as maskApi.c steps along it."""
    start, end = corners, np.roll(corners, -1, axis=0)
    span = np.abs(end - start)
    flat = span[:, 0] >= span[:, 1]
    flip = np.where(flat, start[:, 0] > end[:, 0], start[:, 1] > end[:, 1])
    low = np.where(flip[:, None], end, start)
    high = np.where(flip[:, None], start, end)
    steps = span.max(1)
    total = int(steps.sum()) + len(steps)
    if total > _MOST_STEPS:
        raise DataError("the outline of a polygon is absurdly long")
    which = np.repeat(np.arange(len(steps)), steps + 1)
    place = np.arange(total) - np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    place = np.where(flip[which], steps[which] - place, place)
    across = np.where(flat, high[:, 1] - low[:, 1], high[:, 0] - low[:, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(steps > 0, across / steps, 0.0)[which]
    base = np.where(flat, low[:, 1], low[:, 0])[which]
    other = (base + slope * place + 0.5).astype(np.int64)
    main = place + np.where(flat, low[:, 0], low[:, 1])[which]
    return np.where(flat[which], main, other), np.where(flat[which], other, main)


def rotated_box(x0: float, y0: float, x1: float, y1: float, degrees: float) -> np.ndarray:
    """Return the corners of a box turned about its centre, clockwise on the screen."""
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - centre
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return corners @ np.array([[cos, sin], [-sin, cos]]) + centre
