"""Frames of a scene: image, mask and what makes the frame hard.

Everything is painted twice as large as asked, into a colour canvas and a canvas of thing numbers,
and brought down at the end: colours averaged (smooth edges), numbers by majority (crisp mask).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seglab.core.errors import ShapeError
from seglab.core.seeding import generator
from seglab.data.synth.drawing.camera import Placed, View, look, place_props
from seglab.data.synth.drawing.classes import BUILDING, LABELS, SKY, TERRAIN, VEGETATION, VEHICLE
from seglab.data.synth.drawing.poles import Pole, draw_pole
from seglab.data.synth.drawing.scene import Scene
from seglab.data.synth.drawing.sensor import develop
from seglab.data.synth.drawing.surface import HEADLIGHT, paint_ground, paint_sky

_FIRST_PROP = 8
# Thing numbers are 8 bit.
_MAX_PROPS = 240
# Least stroke of a pole on the canvas: one and a half px of the mask.
_THINNEST = 3
_SMALL_SHARE = 0.0016
_OCCLUDED_SHARE = 0.45
_MIN_SIZE = 32


@dataclass(frozen=True)
class Frame:
    """One rendered sample.

    Args:
        image: RGB uint8 `(H, W, 3)`.
        mask: Class indices uint8 `(H, W)`; 255 on the fuzzy border of foliage.
        tags: What the frame shows that makes it hard or special, sorted.
    """

    image: np.ndarray
    mask: np.ndarray
    tags: tuple[str, ...]


@dataclass
class Canvas:
    """What is painted on: colour float32 `(H, W, 3)` in 0..1, thing numbers uint8 `(H, W)`."""

    colour: np.ndarray
    number: np.ndarray


def render_frame(
    scene: Scene, frame: int, image_size: tuple[int, int], void_border: int = 1
) -> Frame:
    """Render one frame.

    Args:
        scene: What `build_scene` returned.
        frame: Number of the frame in its group, from 0.
        image_size: `(H, W)` in px, each at least 32.
        void_border: Half width in px of the band of ignored pixels (255) where foliage meets the
            sky or the ground, as annotators leave it out; 0 for none.

    Returns:
        A pure function of the arguments.

    Raises:
        ShapeError: `image_size` is below 32 px.
    """
    if min(image_size) < _MIN_SIZE:
        raise ShapeError(f"image_size must be at least {_MIN_SIZE} px a side, got {image_size}")
    view = look(scene, frame, image_size)
    shape = (view.height, view.width)
    canvas = Canvas(np.zeros((*shape, 3), dtype=np.float32), np.zeros(shape, dtype=np.uint8))
    placed = place_props(scene, view, frame)[-_MAX_PROPS:]
    paint_sky(canvas.colour, canvas.number, scene, view.horizon, view.travelled)
    paint_ground(canvas.colour, canvas.number, scene, view, _shadows(scene, view, placed))
    areas = np.zeros(256, dtype=np.int64)
    for index, item in enumerate(placed):
        areas[_FIRST_PROP + index] = _paint_prop(canvas, scene, view, item, _FIRST_PROP + index)
    numbers = _majority(canvas.number)
    mask = _class_table(placed)[numbers]
    tags = _scene_tags(scene) | _size_tags(canvas.number, areas, placed)
    rng = generator("synth", *scene.key, frame, "sensor")
    image = develop(canvas.colour, scene, rng, image_size)
    if void_border:
        mask = _with_void(mask, void_border)
    return Frame(image, mask, tuple(sorted(tags)))


def _shadows(scene: Scene, view: View, placed: list[Placed]) -> np.ndarray | None:
    """Return the shade that things cast on the ground rows, float32 `(rows, W)` in 0..1."""
    if scene.light.shadow <= 0:
        return None
    layer = np.zeros((view.height - view.first_row, view.width), dtype=np.uint8)
    lean = -scene.light.sun_side
    for item in placed:
        reach = 0.7 * lean * min(item.height, 0.6 * view.height)
        foot = item.bottom - view.first_row
        tall = max(2.0, 0.10 * item.height)
        corners = [
            (item.left, foot),
            (item.left + item.width, foot),
            (item.left + item.width * 0.85 + reach, foot - tall),
            (item.left + item.width * 0.15 + reach, foot - tall),
        ]
        cv2.fillPoly(layer, [np.rint(np.asarray(corners)).astype(np.int32)], 255)
    return cv2.blur(layer, (5, 3)).astype(np.float32) * (scene.light.shadow / 255.0)


def _window(item: Placed) -> tuple[int, int, int, int]:
    """Return the box of a placed thing in canvas px (left, top, width, height), not clipped."""
    left, top = round(item.left), round(item.bottom - item.height)
    return left, top, max(1, round(item.width)), max(2, round(item.height))


def _picture(
    item: Placed, box: tuple[int, int, int, int], view: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, tuple[int, int]]:
    """Return colour, outline and glow of the visible part, and its (left, top) on the canvas."""
    left, top, width, height = box
    if isinstance(item.prop.picture, Pole):
        rgb, alpha, glow = draw_pole(item.prop.picture, height, _THINNEST)
        left += (width - alpha.shape[1]) // 2
        height, width = alpha.shape
        parts = [rgb, alpha] + ([] if glow is None else [glow])
        rows = slice(max(0, -top), min(height, view.height - top))
        columns = slice(max(0, -left), min(width, view.width - left))
        cut = [part[rows, columns] for part in parts]
    else:
        sprite = item.prop.picture
        rows = slice(max(0, -top), min(height, view.height - top))
        columns = slice(max(0, -left), min(width, view.width - left))
        parts = [sprite.rgb, sprite.alpha] + ([] if sprite.glow is None else [sprite.glow])
        cut = [_scaled(part, (height, width), rows, columns) for part in parts]
    at = (left + columns.start, top + rows.start)
    return cut[0], cut[1], cut[2] if len(cut) == 3 else None, at


def _scaled(source: np.ndarray, size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """Scale a picture to `size` and cut out rows and columns, computing only those."""
    height, width = max(0, rows.stop - rows.start), max(0, columns.stop - columns.start)
    if height == 0 or width == 0:
        return source[:0, :0]
    if (height, width) == size:
        how = cv2.INTER_AREA if size[0] < source.shape[0] else cv2.INTER_LINEAR
        return cv2.resize(source, size[::-1], interpolation=how)
    step_y, step_x = source.shape[0] / size[0], source.shape[1] / size[1]
    matrix = np.asarray(
        [
            [step_x, 0.0, (columns.start + 0.5) * step_x - 0.5],
            [0.0, step_y, (rows.start + 0.5) * step_y - 0.5],
        ]
    )
    return cv2.warpAffine(
        source,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _paint_prop(canvas: Canvas, scene: Scene, view: View, item: Placed, number: int) -> int:
    """Paint one thing over what lies behind it; returns the px it covers before others hide it."""
    rgb, alpha, glow, (left, top) = _picture(item, _window(item), view)
    height, width = alpha.shape
    if height <= 0 or width <= 0:
        return 0
    light = scene.light
    beam = _beam(scene, view, item)
    side = np.linspace(-1, 1, width, dtype=np.float32) * 0.22 * light.sun_side
    lit = (light.ambient + beam)[None, :] * (1.0 + side)[:, None]
    colour = rgb.astype(np.float32) * (lit[None] / 255.0)
    if glow is not None:
        colour += glow.astype(np.float32) * ((0.9 if light.time == "night" else 0.5) / 255.0)
    clear = float(np.exp(-light.haze * item.depth))
    colour = colour * clear + light.sky_low * (1.0 - clear)
    window = (slice(top, top + height), slice(left, left + width))
    weight = (alpha.astype(np.float32) / 255.0)[..., None]
    under = canvas.colour[window]
    under += weight * (colour - under)
    inside = alpha > 127
    canvas.number[window][inside] = number
    return int(np.count_nonzero(inside))


def _beam(scene: Scene, view: View, item: Placed) -> np.ndarray:
    """Return the light that the camera car's headlights throw on a thing, RGB."""
    if scene.light.headlights <= 0:
        return np.zeros(3, dtype=np.float32)
    lateral = (item.left + item.width / 2 - view.centre) / view.focal
    fall = np.exp(-item.depth / 16.0) * np.exp(-((lateral / 0.45) ** 2))
    return np.asarray(scene.light.headlights * fall * HEADLIGHT, dtype=np.float32)


def _majority(numbers: np.ndarray) -> np.ndarray:
    """Bring thing numbers down by two: the value most of 2x2 px hold, ties to the nearer thing."""
    height, width = numbers.shape
    cells = numbers.reshape(height // 2, 2, width // 2, 2).transpose(1, 3, 0, 2).reshape(4, -1)
    first, second, third, last = np.sort(cells, axis=0)
    chosen = np.where((first == second) & (third != last), first, third)
    return chosen.reshape(height // 2, width // 2)


def _class_table(placed: list[Placed]) -> np.ndarray:
    """Return the class of every thing number, uint8 `(256,)`."""
    table = np.full(256, TERRAIN, dtype=np.uint8)
    table[: LABELS.num_classes] = np.arange(LABELS.num_classes)
    for index, item in enumerate(placed):
        table[_FIRST_PROP + index] = item.prop.class_index
    return table


def _scene_tags(scene: Scene) -> set[str]:
    light = scene.light
    tags = {light.time}
    if light.is_foggy:
        tags.add("fog")
    if scene.options.shift != "none":
        tags.add(f"shift_{scene.options.shift}")
    return tags


def _size_tags(numbers: np.ndarray, areas: np.ndarray, placed: list[Placed]) -> set[str]:
    """Tell whether a frame holds a hidden or a tiny thing of a class that counts."""
    seen = np.bincount(numbers.ravel(), minlength=256)
    tags = set()
    for index, item in enumerate(placed):
        number = _FIRST_PROP + index
        area, visible = int(areas[number]), int(seen[number])
        if item.prop.class_index not in {BUILDING, VEHICLE} or visible == 0:
            continue
        if visible < (1.0 - _OCCLUDED_SHARE) * area:
            tags.add("occluded")
        if visible < _SMALL_SHARE * numbers.size:
            tags.add("small")
    return tags


def _with_void(mask: np.ndarray, border: int) -> np.ndarray:
    """Write 255 along the borders between vegetation and sky or terrain.

    Only pixels of those three classes change, so thin things in front of leaves stay whole.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * border + 1, 2 * border + 1))
    leaves = (mask == VEGETATION).astype(np.uint8)
    others = np.isin(mask, (SKY, TERRAIN)).astype(np.uint8)
    grown_leaves, grown_others = cv2.dilate(leaves, kernel) > 0, cv2.dilate(others, kernel) > 0
    void = (grown_leaves & (others > 0)) | (grown_others & (leaves > 0))
    return np.where(void, np.uint8(LABELS.ignore_index), mask)
