"""Thin structures: lamps, signs, masts, signals, bollards.

They are drawn anew at the size they have in a frame, and never thinner than a pixel of the mask:
scaling a sprite would dissolve them in the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seglab.data.synth.drawing.sprites import Brush
from seglab.data.synth.drawing.textures import MINERALS, PAINTS, pick, to_u8

POLE_KINDS = ("lamp", "round_sign", "triangle_sign", "board", "mast", "signal", "bollard")
_HEIGHTS = {
    "lamp": (5.0, 7.5),
    "round_sign": (2.2, 3.0),
    "triangle_sign": (2.2, 3.0),
    "board": (2.6, 4.5),
    "mast": (6.0, 9.0),
    "signal": (2.8, 3.6),
    "bollard": (0.9, 1.2),
}
# Half of the width of the drawing as a share of its height.
_REACH = {"lamp": 0.5, "mast": 0.3}


@dataclass(frozen=True)
class Pole:
    """One thin structure.

    Args:
        kind: One of `POLE_KINDS`.
        colour: Shaft colour in 0..1.
        board: Colour of the sign or lamp in 0..1.
        height: Metres.
        thickness: Metres.
        side: -1 or 1, the side arms point to.
        is_lit: A lamp or signal that shines.
    """

    kind: str
    colour: tuple[int, int, int]
    board: tuple[int, int, int]
    height: float
    thickness: float
    side: int
    is_lit: bool

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing in metres."""
        reach = _REACH.get(self.kind, 0.4)
        return max(2 * reach * self.height, 4 * self.thickness), self.height


def make_pole(brush: Brush) -> Pole:
    """Choose a pole of any kind."""
    kind = POLE_KINDS[int(brush.rng.integers(len(POLE_KINDS)))]
    is_wood = kind == "mast" and brush.chance(0.7)
    wood = np.asarray((0.36, 0.29, 0.22), dtype=np.float32)
    colour = wood if is_wood else pick(brush.rng, MINERALS) * brush.uniform(0.5, 1.1)
    low, high = _HEIGHTS[kind]
    thick = (0.24, 0.36) if kind in {"mast", "bollard"} else (0.14, 0.26)
    return Pole(
        kind=kind,
        colour=to_u8(colour),
        board=to_u8(pick(brush.rng, PAINTS + MINERALS)),
        height=brush.uniform(low, high),
        thickness=brush.uniform(*thick),
        side=1 if brush.chance(0.5) else -1,
        is_lit=brush.chance(0.8) and brush.is_dark,
    )


def draw_pole(
    pole: Pole, height_px: int, min_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Draw a pole at its size in a frame.

    Args:
        pole: What to draw.
        height_px: Height of the drawing in px.
        min_px: Least thickness of any stroke in px.

    Returns:
        Colour uint8 `(h, w, 3)`, outline uint8 `(h, w)` and glow uint8 `(h, w, 3)` or None.
    """
    scale = height_px / pole.height
    stroke = max(min_px, round(pole.thickness * scale))
    width = max(round(pole.size[0] * scale), 3 * stroke) | 1
    alpha = np.zeros((height_px, width), dtype=np.uint8)
    rgb = np.empty((height_px, width, 3), dtype=np.uint8)
    rgb[:] = pole.colour
    middle = width // 2
    left = middle - stroke // 2
    alpha[:, left : left + stroke] = 255
    lighter = np.minimum(np.asarray(pole.colour) * 1.25, 255).astype(np.uint8)
    rgb[:, left : left + max(1, stroke // 3)] = lighter
    head = np.zeros_like(alpha)
    _draw_head(pole, head, alpha, stroke)
    rgb[head > 0] = pole.board
    alpha[head > 0] = 255
    if pole.kind not in {"lamp", "signal"} or not pole.is_lit:
        return rgb, alpha, None
    glow = np.zeros_like(rgb)
    glow[head > 0] = (255, 226, 160)
    return rgb, alpha, glow


def _draw_head(pole: Pole, head: np.ndarray, alpha: np.ndarray, stroke: int) -> None:
    """Draw the sign, lamp or box into `head`, and arms into `alpha`."""
    height, width = head.shape
    middle, metre = width // 2, height / pole.height
    half = max(stroke, round(0.42 * metre))
    if pole.kind == "lamp":
        end = middle + pole.side * round(0.2 * height)
        cv2.line(alpha, (middle, stroke), (end, stroke), 255, stroke)
        cv2.line(head, (end, stroke), (end - pole.side * half, stroke), 255, stroke + 1)
    elif pole.kind == "round_sign":
        cv2.circle(head, (middle, half), half, 255, -1)
    elif pole.kind == "triangle_sign":
        corners = [(middle, 0), (middle - half, 2 * half), (middle + half, 2 * half)]
        cv2.fillPoly(head, [np.asarray(corners, dtype=np.int32)], 255)
    elif pole.kind == "board":
        wide = min(middle, 2 * half)
        cv2.rectangle(head, (middle - wide, 0), (middle + wide, 2 * half), 255, -1)
    elif pole.kind == "mast":
        for row in (0.05, 0.13):
            y, reach = round(row * height), round(0.14 * height)
            cv2.line(alpha, (middle - reach, y), (middle + reach, y), 255, max(1, stroke * 2 // 3))
    elif pole.kind == "signal":
        box = max(stroke, round(0.2 * metre))
        cv2.rectangle(head, (middle - box, 0), (middle + box, 4 * box), 255, -1)
    else:
        head[: max(1, height // 5), middle - stroke // 2 : middle + (stroke + 1) // 2] = 255
