"""Sprites of cars, vans, lorries and buses, seen from behind or from the side.

Half of them wear the colours of walls and asphalt, so that the outline has to tell them apart.
"""

from __future__ import annotations

import cv2
import numpy as np

from seglab.data.synth.drawing.sprites import Brush, Sprite
from seglab.data.synth.drawing.textures import MINERALS, PAINTS, pick, to_u8

_TYRE = (26, 26, 28)
_Polygon = list[tuple[float, float]]

# Saloon, hatchback, estate; across and down as fractions of width and height, facing right.
_SIDE_OUTLINES: tuple[_Polygon, ...] = tuple(
    list(zip(across, down, strict=True))
    for across, down in (
        (
            (0.01, 0.01, 0.20, 0.32, 0.66, 0.80, 0.98, 0.99),
            (0.82, 0.50, 0.44, 0.06, 0.06, 0.42, 0.52, 0.82),
        ),
        ((0.01, 0.02, 0.12, 0.58, 0.74, 0.98, 0.99), (0.82, 0.38, 0.08, 0.05, 0.42, 0.52, 0.82)),
        ((0.01, 0.02, 0.10, 0.60, 0.76, 0.98, 0.99), (0.82, 0.12, 0.05, 0.05, 0.42, 0.50, 0.82)),
    )
)


def _paint(brush: Brush) -> np.ndarray:
    return pick(brush.rng, MINERALS if brush.chance(0.5) else PAINTS)


def _shaded(height: int, width: int, colour: np.ndarray) -> np.ndarray:
    """Return a body that is lighter on top, uint8 `(height, width, 3)`."""
    shade = np.linspace(1.18, 0.7, height, dtype=np.float32)[:, None, None]
    body = np.clip(colour[None, None] * shade * 255.0, 0, 255)
    return np.repeat(body, width, axis=1).astype(np.uint8)


def _points(outline: _Polygon, width: int, height: int) -> np.ndarray:
    scale = np.asarray((width - 1, height - 1), dtype=np.float32)
    return np.rint(np.asarray(outline, dtype=np.float32) * scale).astype(np.int32)


def _wheels(rgb: np.ndarray, alpha: np.ndarray, centres: tuple[float, ...], radius: float) -> None:
    height, width = alpha.shape
    size = int(radius * height)
    for centre in centres:
        at = (int(centre * width), height - size - 1)
        cv2.circle(alpha, at, size, 255, -1)
        cv2.circle(rgb, at, size, _TYRE, -1)
        cv2.circle(rgb, at, size // 2, (120, 120, 124), -1)


def car_side(brush: Brush) -> Sprite:
    """Draw a car from the side."""
    height, width = 56, 150
    colour = _paint(brush)
    rgb, alpha = _shaded(height, width, colour), np.zeros((height, width), dtype=np.uint8)
    outline = _SIDE_OUTLINES[int(brush.rng.integers(len(_SIDE_OUTLINES)))]
    cv2.fillPoly(alpha, [_points(outline, width, height)], 255)
    glass = np.zeros_like(alpha)
    shrunk = [(0.5 + (x - 0.48) * 0.86, 0.14 + (y - 0.05) * 0.8) for x, y in outline]
    cv2.fillPoly(glass, [_points(shrunk, width, height)], 255)
    glass[int(0.43 * height) :] = 0
    rgb[glass > 0] = to_u8(np.asarray((0.2, 0.24, 0.28)), brush.uniform(0.6, 1.8))
    post = int(0.47 * width)
    rgb[: int(0.45 * height), post : post + 4] = to_u8(colour)
    cv2.line(rgb, (post, int(0.45 * height)), (post, int(0.8 * height)), to_u8(colour, 0.6), 1)
    glow = np.zeros_like(rgb)
    _wheels(rgb, alpha, (0.2, 0.8), 0.19)
    glow[int(0.52 * height) : int(0.6 * height), -8:] = (255, 240, 190)
    glow[int(0.52 * height) : int(0.6 * height), :6] = (200, 30, 20)
    metres = brush.uniform(1.4, 1.65)
    sprite = Sprite(rgb, alpha, glow if brush.is_dark else None, (metres * width / height, metres))
    return _mirrored(sprite) if brush.chance(0.5) else sprite


def _mirrored(sprite: Sprite) -> Sprite:
    glow = None if sprite.glow is None else np.ascontiguousarray(sprite.glow[:, ::-1])
    rgb = np.ascontiguousarray(sprite.rgb[:, ::-1])
    return Sprite(rgb, np.ascontiguousarray(sprite.alpha[:, ::-1]), glow, sprite.size)


def car_rear(brush: Brush) -> Sprite:
    """Draw a car or van from behind, or from ahead with its headlights on."""
    is_van = brush.chance(0.3)
    height, width = (112, 92) if is_van else (80, 96)
    colour = _paint(brush)
    rgb, alpha = _shaded(height, width, colour), np.zeros((height, width), dtype=np.uint8)
    shoulder = 0.30 if is_van else 0.46
    inset = 0.07 if is_van else brush.uniform(0.13, 0.2)
    cabin = [(inset, 0.03), (1 - inset, 0.03), (0.97, shoulder), (0.03, shoulder)]
    cv2.fillPoly(alpha, [_points(cabin, width, height)], 255)
    top, bottom = int(shoulder * height), int(0.86 * height)
    cv2.rectangle(alpha, (1, top), (width - 2, bottom), 255, -1)
    sill = shoulder - 0.03
    pane = [(inset + 0.05, 0.09), (0.95 - inset, 0.09), (0.87, sill), (0.13, sill)]
    glass = to_u8(np.asarray((0.2, 0.24, 0.28)), brush.uniform(0.6, 1.8))
    cv2.fillPoly(rgb, [_points(pane, width, height)], glass)
    for left in (int(0.08 * width), int(0.76 * width)):
        box = ((left, int(0.78 * height)), (left + int(0.16 * width), height - 1))
        cv2.rectangle(alpha, *box, 255, -1)
        cv2.rectangle(rgb, *box, _TYRE, -1)
    rgb[int(0.76 * height) : int(0.86 * height), 2:-2] = to_u8(colour, 0.45)
    glow = np.zeros_like(rgb)
    lamp = (255, 244, 200) if brush.chance(0.4) else (215, 30, 24)
    lamp_row = slice(int((shoulder + 0.06) * height), int((shoulder + 0.17) * height))
    for columns in (slice(3, int(0.16 * width)), slice(int(0.84 * width), width - 3)):
        rgb[lamp_row, columns] = lamp
        glow[lamp_row, columns] = lamp
    metres = brush.uniform(2.0, 2.5) if is_van else brush.uniform(1.4, 1.7)
    return Sprite(rgb, alpha, glow if brush.is_dark else None, (metres * width / height, metres))


def lorry(brush: Brush) -> Sprite:
    """Draw a lorry or bus from the side; its box is as flat and large as a house wall."""
    is_bus = brush.chance(0.4)
    height, width = 88, 230 if is_bus else 210
    colour = _paint(brush)
    rgb, alpha = _shaded(height, width, colour), np.zeros((height, width), dtype=np.uint8)
    if is_bus:
        cv2.rectangle(alpha, (1, 4), (width - 2, int(0.86 * height)), 255, -1)
        for left in range(8, width - 20, 26):
            cv2.rectangle(rgb, (left, 14), (left + 20, 38), (58, 68, 80), -1)
    else:
        split = int(0.78 * width)
        cv2.rectangle(alpha, (1, 2), (split, int(0.8 * height)), 255, -1)
        cab = [(0.79, 0.24), (0.93, 0.24), (0.99, 0.52), (0.99, 0.86), (0.79, 0.86)]
        cv2.fillPoly(alpha, [_points(cab, width, height)], 255)
        cv2.fillPoly(rgb, [_points(cab, width, height)], to_u8(_paint(brush)))
        pane = [(0.87, 0.29), (0.925, 0.29), (0.97, 0.52), (0.87, 0.52)]
        cv2.fillPoly(rgb, [_points(pane, width, height)], (58, 68, 80))
    cv2.rectangle(alpha, (4, int(0.74 * height)), (width - 5, int(0.86 * height)), 255, -1)
    rgb[int(0.78 * height) : int(0.86 * height)] = (48, 48, 50)
    _wheels(rgb, alpha, (0.14, 0.26, 0.86) if not is_bus else (0.16, 0.82), 0.13)
    metres = brush.uniform(2.7, 3.4)
    sprite = Sprite(rgb, alpha, None, (metres * width / height, metres))
    return _mirrored(sprite) if brush.chance(0.5) else sprite
