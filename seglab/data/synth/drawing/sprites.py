"""Flat pictures of the things that stand in the roadside world.

A sprite is drawn once a scene and then scaled into every frame, so its texture stays the same while
the camera moves. Poles are thinner than a sprite can be scaled; `poles.py` draws those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from seglab.data.synth.drawing.textures import MINERALS, PAINTS, cut_noise, pick, to_u8

# Clumps of leaves in a crown.
_CLUMPS = 120


@dataclass(frozen=True)
class Sprite:
    """A picture with its outline.

    Args:
        rgb: Reflected colour, uint8 `(h, w, 3)`.
        alpha: Outline, uint8 `(h, w)`, 255 inside.
        glow: Light of its own (lit windows, tail lights), uint8 `(h, w, 3)`, or None.
        size: Width and height in metres.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    glow: np.ndarray | None
    size: tuple[float, float]


@dataclass
class Brush:
    """What every sprite is drawn with: randomness, the season's colours, shared grain noise."""

    rng: np.random.Generator
    season: tuple[tuple[float, float, float], ...]
    grain: np.ndarray
    is_dark: bool

    def uniform(self, low: float, high: float) -> float:
        """Return a float in low..high."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """Return True for about `share` of the calls."""
        return bool(self.rng.random() < share)


def _blank(height: int, width: int, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    rgb[:] = to_u8(colour)
    return rgb, np.zeros((height, width), dtype=np.uint8)


def _grain(brush: Brush, rgb: np.ndarray, strength: float) -> np.ndarray:
    noise = cut_noise(brush.grain, brush.rng, (rgb.shape[0], rgb.shape[1]))
    factor = 1.0 + strength * (noise[..., None] - 0.5)
    return np.clip(rgb * factor, 0, 255).astype(np.uint8)


def _ragged(brush: Brush, alpha: np.ndarray, depth: float) -> np.ndarray:
    """Fray an outline: noise decides where within the blurred border the edge runs."""
    soft = cv2.GaussianBlur(alpha, (0, 0), depth).astype(np.float32) / 255.0
    noise = cut_noise(brush.grain, brush.rng, (alpha.shape[0], alpha.shape[1]))
    return np.where(soft + 0.9 * (noise - 0.5) > 0.5, 255, 0).astype(np.uint8)


def _leaves(brush: Brush, rgb: np.ndarray, base: np.ndarray, accent: np.ndarray) -> None:
    """Cover a crown with clumps of leaves, darker below, so its texture differs from grass."""
    height, width = rgb.shape[:2]
    draws = brush.rng.random((_CLUMPS, 6))
    y = draws[:, 1]
    light = 1.15 - 0.65 * y + 0.56 * (draws[:, 2] - 0.5)
    mixed = accent + draws[:, 3:4] * (base - accent)
    colours = np.clip(mixed * light[:, None] * 255.0, 0, 255).astype(np.int64).tolist()
    centres = (draws[:, :2] * (width, height)).astype(np.int64).tolist()
    radii = np.maximum(2, (0.022 + 0.04 * draws[:, 4]) * height)
    axes = np.stack([radii, np.maximum(1, radii * (0.5 + 0.4 * draws[:, 5]))], axis=1)
    turns = (draws[:, 5] * 1800.0 % 180.0).tolist()
    for centre, axis, turn, colour in zip(
        centres, axes.astype(np.int64).tolist(), turns, colours, strict=True
    ):
        cv2.ellipse(rgb, centre, axis, turn, 0, 360, colour, -1)


def tree(brush: Brush) -> Sprite:
    """Draw a broad-leaved tree: crown of blobs on a trunk."""
    height, width = 150, int(brush.uniform(80, 130))
    base, accent = pick(brush.rng, brush.season), pick(brush.rng, brush.season)
    rgb, alpha = _blank(height, width, base * 0.55)
    middle, crown = width / 2, brush.uniform(0.62, 0.78) * height
    for _ in range(16):
        angle, reach = brush.uniform(0, 2 * np.pi), np.sqrt(brush.uniform(0, 1))
        x = middle + reach * np.cos(angle) * width * 0.33
        y = crown * 0.5 + reach * np.sin(angle) * crown * 0.34
        cv2.circle(alpha, (int(x), int(y)), int(brush.uniform(0.10, 0.19) * width), 255, -1)
    _leaves(brush, rgb, base, accent)
    alpha = _ragged(brush, alpha, 3.0)
    trunk = max(2, int(width * brush.uniform(0.03, 0.055)))
    left, top = int(middle - trunk), int(crown * 0.75)
    below = alpha[top:, left : left + 2 * trunk] == 0
    bark = np.asarray((0.34, 0.27, 0.20), dtype=np.float32) * brush.uniform(0.6, 1.3)
    rgb[top:, left : left + 2 * trunk][below] = to_u8(bark)
    alpha[top:, left : left + 2 * trunk] = 255
    metres = brush.uniform(3.5, 9.0)
    return Sprite(_grain(brush, rgb, 0.5), alpha, None, (metres * width / height, metres))


def conifer(brush: Brush) -> Sprite:
    """Draw a conifer: stacked ragged skirts that narrow upwards."""
    height, width = 160, int(brush.uniform(58, 84))
    base, accent = pick(brush.rng, brush.season) * 0.8, pick(brush.rng, brush.season) * 0.9
    rgb, alpha = _blank(height, width, base * 0.6)
    layers = int(brush.rng.integers(4, 7))
    for layer in range(layers):
        top = layer / layers * 0.8 * height
        bottom = top + 1.7 / layers * 0.8 * height
        half = (0.22 + 0.28 * (layer + 1) / layers) * width
        corners = [(width / 2, top), (width / 2 - half, bottom), (width / 2 + half, bottom)]
        cv2.fillPoly(alpha, [np.asarray(corners, dtype=np.int32)], 255)
    _leaves(brush, rgb, base, accent)
    alpha = _ragged(brush, alpha, 2.5)
    cv2.rectangle(alpha, (width // 2 - 3, int(0.85 * height)), (width // 2 + 3, height), 255, -1)
    metres = brush.uniform(5.0, 12.0)
    return Sprite(_grain(brush, rgb, 0.55), alpha, None, (metres * width / height, metres))


def bush(brush: Brush) -> Sprite:
    """Draw a bush or a stretch of hedge; a hedge has the outline of a wall."""
    is_hedge = brush.chance(0.45)
    height, width = 72, 210 if is_hedge else 116
    base, accent = pick(brush.rng, brush.season), pick(brush.rng, brush.season)
    rgb, alpha = _blank(height, width, base * 0.6)
    if is_hedge:
        cv2.rectangle(alpha, (4, 8), (width - 5, height), 255, -1)
    else:
        for _ in range(9):
            x, y = brush.uniform(0.2, 0.8) * width, brush.uniform(0.4, 0.9) * height
            cv2.circle(alpha, (int(x), int(y)), int(brush.uniform(0.2, 0.36) * height), 255, -1)
    _leaves(brush, rgb, base, accent)
    alpha = _ragged(brush, alpha, 2.5)
    metres = brush.uniform(0.9, 2.0)
    return Sprite(_grain(brush, rgb, 0.5), alpha, None, (metres * width / height, metres))


def _masonry(brush: Brush, rgb: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Give a wall courses of brick, planks or panels: regular lines tell it from a road."""
    height, width = rgb.shape[:2]
    style = int(brush.rng.integers(4))
    joint = to_u8(wall, brush.uniform(0.62, 0.85))
    step = int(brush.uniform(6, 10))
    if style == 0:
        for row, y in enumerate(range(0, height, step)):
            cv2.line(rgb, (0, y), (width, y), joint, 1)
            for x in range((row % 2) * step, width, 2 * step):
                cv2.line(rgb, (x, y), (x, y + step), joint, 1)
    elif style == 1:
        for x in range(0, width, step):
            cv2.line(rgb, (x, 0), (x, height), joint, 1)
    elif style == 2:
        for y in range(0, height, 3 * step):
            cv2.line(rgb, (0, y), (width, y), joint, 1)
        for x in range(0, width, 4 * step):
            cv2.line(rgb, (x, 0), (x, height), joint, 1)
    return _grain(brush, rgb, 0.16)


def _windows(brush: Brush, rgb: np.ndarray, glow: np.ndarray, box: tuple[int, ...]) -> None:
    """Set rows of windows into a box (left, top, right, bottom); some are lit when it is dark."""
    left, top, right, bottom = box
    columns = max(1, int((right - left) / brush.uniform(22, 36)))
    rows = max(1, int((bottom - top) / brush.uniform(24, 36)))
    pane = np.asarray((0.24, 0.29, 0.35), dtype=np.float32) * brush.uniform(0.5, 2.0)
    frame = to_u8(np.ones(3, dtype=np.float32), brush.uniform(0.3, 0.9))
    wide, high = (right - left) / columns, (bottom - top) / rows
    share_x, share_y = brush.uniform(0.2, 0.32), brush.uniform(0.18, 0.3)
    for row in range(rows):
        for column in range(columns):
            a = (int(left + (column + share_x) * wide), int(top + (row + share_y) * high))
            b = (int(left + (column + 1 - share_x) * wide), int(top + (row + 1 - share_y) * high))
            cv2.rectangle(rgb, a, b, to_u8(pane, brush.uniform(0.8, 1.2)), -1)
            cv2.rectangle(rgb, a, b, frame, 1)
            # Drawn by day too, so that the light does not change what stands in a scene.
            blue, is_lit = int(brush.uniform(90, 160)), brush.chance(0.4)
            if is_lit and brush.is_dark:
                cv2.rectangle(glow, a, b, (235, 190, blue), -1)


def house(brush: Brush) -> Sprite:
    """Draw a house or barn with a gable or hipped roof."""
    height, width = 120, int(brush.uniform(120, 200))
    wall, roof = pick(brush.rng, MINERALS), pick(brush.rng, MINERALS) * brush.uniform(0.6, 1.0)
    rgb, alpha = _blank(height, width, wall)
    rgb = _masonry(brush, rgb, wall)
    glow = np.zeros_like(rgb)
    eaves, inset = int(brush.uniform(0.3, 0.5) * height), brush.uniform(0.1, 0.5) * width
    margin = int(0.04 * width)
    cv2.rectangle(alpha, (margin, eaves), (width - margin, height), 255, -1)
    corners = [(0, eaves + 3), (inset, 0), (width - inset, 0), (width - 1, eaves + 3)]
    outline = np.asarray(corners, dtype=np.int32)
    cv2.fillPoly(alpha, [outline], 255)
    cv2.fillPoly(rgb, [outline], to_u8(roof))
    for y in range(4, eaves, 5):
        within = alpha[y] > 0
        rgb[y][within] = to_u8(roof, 0.8)
    if brush.chance(0.8):
        _windows(brush, rgb, glow, (margin, eaves + 6, width - margin, height - 12))
    door = int(brush.uniform(0.15, 0.8) * width)
    door_colour = to_u8(pick(brush.rng, PAINTS), 0.6)
    cv2.rectangle(rgb, (door, int(0.68 * height)), (door + 14, height), door_colour, -1)
    metres = brush.uniform(4.0, 7.5)
    return Sprite(rgb, alpha, glow, (metres * width / height, metres))


def block(brush: Brush) -> Sprite:
    """Draw a block of flats or offices; glass ones take the colours of the sky."""
    height, width = 190, int(brush.uniform(90, 180))
    glass = brush.chance(0.25)
    wall = np.asarray((0.50, 0.60, 0.70), dtype=np.float32) if glass else pick(brush.rng, MINERALS)
    rgb, alpha = _blank(height, width, wall)
    rgb = _masonry(brush, rgb, wall)
    glow = np.zeros_like(rgb)
    cv2.rectangle(alpha, (0, 12), (width, height), 255, -1)
    if brush.chance(0.5):
        left = int(brush.uniform(0.1, 0.6) * width)
        cv2.rectangle(alpha, (left, 0), (left + width // 4, 12), 255, -1)
    _windows(brush, rgb, glow, (4, 18, width - 4, height - 16))
    side = int(brush.uniform(0.0, 0.3) * width)
    if side:
        rgb[:, :side] = (rgb[:, :side] * brush.uniform(0.6, 0.8)).astype(np.uint8)
    metres = brush.uniform(8.0, 20.0)
    return Sprite(rgb, alpha, glow, (metres * width / height, metres))


def garden_wall(brush: Brush) -> Sprite:
    """Draw a garden wall; it has the outline of a hedge."""
    height, width = 56, 220
    colour = pick(brush.rng, MINERALS)
    rgb, alpha = _blank(height, width, colour)
    rgb = _masonry(brush, rgb, colour)
    cv2.rectangle(alpha, (0, 3), (width, height), 255, -1)
    rgb[:7] = to_u8(colour, 1.15)
    metres = brush.uniform(1.0, 2.2)
    return Sprite(rgb, alpha, np.zeros_like(rgb), (metres * width / height, metres))


def rock(brush: Brush) -> Sprite:
    """Draw a boulder; it belongs to the terrain although it looks like masonry."""
    height, width = 48, int(brush.uniform(50, 90))
    colour = pick(brush.rng, MINERALS)
    rgb, alpha = _blank(height, width, colour)
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    reach = brush.rng.uniform(0.7, 1.0, angles.size)
    x = width / 2 * (1 + reach * np.cos(angles))
    y = height * (0.55 + 0.45 * reach * np.sin(angles))
    cv2.fillPoly(alpha, [np.stack([x, y], axis=1).astype(np.int32)], 255)
    shade = np.linspace(1.15, 0.6, height, dtype=np.float32)[:, None, None]
    rgb = np.clip(rgb * shade, 0, 255).astype(np.uint8)
    metres = brush.uniform(0.5, 1.3)
    return Sprite(_grain(brush, rgb, 0.5), alpha, None, (metres * width / height, metres))


SpriteMaker = Callable[[Brush], Sprite]
