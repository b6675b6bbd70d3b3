"""The camera: where it is at a frame, and where props end up on its canvas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seglab.core.seeding import generator
from seglab.data.synth.drawing.scene import NEAREST, WORLD_LENGTH, Prop, Scene

# The canvas is this many times larger than the image on each side.
OVERSAMPLE = 2
# Focal length as a share of the image height: about 62 degrees across a 3:4 frame.
_FOCAL = 1.1


@dataclass(frozen=True)
class View:
    """The camera at one frame, in px of the oversampled canvas."""

    height: int
    width: int
    horizon: float
    centre: float
    focal: float
    camera_height: float
    travelled: float

    @property
    def first_row(self) -> int:
        """First canvas row that shows ground."""
        return int(np.ceil(self.horizon))

    @cached_property
    def depth(self) -> np.ndarray:
        """Distance in metres of every ground row, float32 `(rows,)`, far to near."""
        rows = np.arange(self.first_row, self.height, dtype=np.float32) - self.horizon + 0.6
        return np.minimum(self.focal * self.camera_height / rows, 400.0).astype(np.float32)


@dataclass(frozen=True)
class Placed:
    """A prop as it stands in a frame: depth in metres, the rest in canvas px."""

    prop: Prop
    depth: float
    left: float
    bottom: float
    width: float
    height: float


def look(scene: Scene, frame: int, image_size: tuple[int, int]) -> View:
    """Return the camera at a frame; it drives, sways and trembles a little."""
    height, width = image_size[0] * OVERSAMPLE, image_size[1] * OVERSAMPLE
    rng = generator("synth", *scene.key, frame, "camera")
    sway = 0.02 * np.sin(0.7 * frame + scene.key[1])
    return View(
        height=height,
        width=width,
        horizon=height * (scene.horizon + float(rng.normal(0.0, 0.004))),
        centre=width * (0.5 + sway + float(rng.normal(0.0, 0.004))),
        focal=_FOCAL * height,
        camera_height=scene.camera_height,
        travelled=scene.speed * frame,
    )


def place_props(scene: Scene, view: View, frame: int) -> list[Placed]:
    """Project all props in sight; returns far ones first."""
    placed = []
    for prop in scene.props:
        ahead = prop.distance - NEAREST + prop.drift * frame - view.travelled
        depth = NEAREST + ahead % WORLD_LENGTH
        scale = view.focal / depth
        x = scene.road.offset + scene.road.bend * depth**2 + prop.lateral
        width, height = prop.picture.size[0] * scale, prop.picture.size[1] * scale
        left = view.centre + x * scale - width / 2
        bottom = view.horizon + view.camera_height * scale
        if left < view.width and left + width > 0 and height >= 2 and bottom - height < view.height:
            placed.append(Placed(prop, depth, left, bottom, width, height))
    return sorted(placed, key=lambda item: -item.depth)
