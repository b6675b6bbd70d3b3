"""A stretch of road with everything beside it: what one group of frames looks at.

The world is a flat plane seen by a camera that drives along a road. X is metres to the right of the
camera, Z metres ahead of it; every prop stands on the plane. A scene is a pure function of
(seed, group, options), and `render.py` turns it and a frame number into an image and a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from seglab.core.seeding import generator
from seglab.data.synth.drawing import sprites, vehicles
from seglab.data.synth.drawing.classes import BUILDING, POLE, TERRAIN, VEGETATION, VEHICLE
from seglab.data.synth.drawing.lighting import Light, make_light
from seglab.data.synth.drawing.poles import Pole, make_pole
from seglab.data.synth.drawing.sprites import Brush, Sprite
from seglab.data.synth.drawing.textures import MINERALS, SEASONS, Colour, fractal_noise, pick
from seglab.data.synth.options import Shift

NOISE_PX = 256
# Props further ahead than this come round again close to the camera, so a drive never ends.
WORLD_LENGTH = 60.0
NEAREST = 4.0

SHIFTS = get_args(Shift)


@dataclass(frozen=True)
class SceneOptions:
    """What a caller may fix about a scene.

    Args:
        is_complete: Every class is there, close enough to be seen in the first frames.
        has_rare: Vehicles and poles may be there; `is_complete` overrides it.
        shift: One of `SHIFTS`: a condition the scene is moved to.
    """

    is_complete: bool = False
    has_rare: bool = True
    shift: str = "none"


@dataclass(frozen=True)
class Prop:
    """One thing on the plane.

    Args:
        picture: Sprite, or pole drawn at the size it has.
        class_index: What its pixels are.
        lateral: Metres to the right of the middle of the road.
        distance: Metres ahead of the camera at frame 0.
        drift: Metres a frame it moves along the road by itself.
    """

    picture: Sprite | Pole
    class_index: int
    lateral: float
    distance: float
    drift: float = 0.0


@dataclass(frozen=True)
class Road:
    """The road strip.

    Args:
        half_width: Metres; 0 where the scene has no road.
        colour: Surface in 0..1.
        contrast: Strength of the surface's grain.
        has_lines: Whether lane marks are painted.
        wobble: How far the border strays, in 0..1 of the width (tracks and dirt roads).
        offset: Metres from the camera to the middle of the road.
        bend: Curvature; the middle at distance Z lies at `offset + bend * Z**2`.
        crossing: Distance of a side road, metres, or None.
    """

    half_width: float
    colour: np.ndarray
    contrast: float
    has_lines: bool
    wobble: float
    offset: float
    bend: float
    crossing: float | None


@dataclass(frozen=True)
class Ground:
    """The plane beside the road: two colours mixed by coarse noise, grain, furrows."""

    colours: tuple[np.ndarray, np.ndarray]
    contrast: float
    furrow: float


@dataclass(frozen=True)
class Scene:
    """All of one group; `key` is (seed, group) as given to `build_scene`."""

    key: tuple[int, int]
    options: SceneOptions
    light: Light
    ground: Ground
    road: Road
    props: tuple[Prop, ...]
    noise: np.ndarray
    coarse: np.ndarray
    hills: np.ndarray
    treeline: np.ndarray
    far_colours: tuple[np.ndarray, np.ndarray]
    camera_height: float
    horizon: float
    speed: float


def build_scene(seed: int, group: int, options: SceneOptions | None = None) -> Scene:
    """Build the scene of a group.

    Args:
        seed: Seed of the data set.
        group: Number of the group, from 0.
        options: What to fix; None leaves everything to chance.

    Returns:
        The same scene for the same arguments, in any process.
    """
    options = options or SceneOptions()
    rng = generator("synth", seed, group)
    # Light draws from its own source, so that a shift leaves the masks as they are.
    light = make_light(generator("synth", seed, group, "light"), options.shift)
    season = SEASONS[str(rng.choice(list(SEASONS)))]
    noise = fractal_noise(rng, NOISE_PX, (16, 40, 96), gain=0.8)
    coarse = fractal_noise(rng, NOISE_PX, (5, 11, 23))
    road = _make_road(rng, season, options.is_complete)
    brush = Brush(rng, season, noise, light.is_dark)
    speed = float(rng.uniform(0.25, 1.1))
    return Scene(
        key=(seed, group),
        options=options,
        light=light,
        ground=_make_ground(rng, season),
        road=road,
        props=_make_props(brush, road, options, speed),
        noise=noise,
        coarse=coarse,
        hills=fractal_noise(rng, NOISE_PX, (3, 7, 17))[0] * float(rng.uniform(0.0, 0.14)),
        treeline=fractal_noise(rng, NOISE_PX, (4, 30, 90), gain=0.7)[0]
        * float(rng.choice([0.0, 0.05, 0.11])),
        far_colours=(pick(rng, season) * 0.8, pick(rng, season) * 0.7),
        camera_height=float(rng.uniform(1.5, 2.8)),
        horizon=float(rng.uniform(0.38, 0.52)),
        speed=speed,
    )


def _make_road(rng: np.random.Generator, season: Sequence[Colour], is_complete: bool) -> Road:
    is_dirt = bool(rng.random() < 0.25)
    has_road = bool(rng.random() < 0.92) or is_complete
    soil = np.asarray((0.46, 0.38, 0.28), dtype=np.float32)
    dirt = 0.7 * soil + 0.3 * pick(rng, tuple(season))
    half_width = float(rng.uniform(1.5, 2.4) if is_dirt else rng.uniform(2.8, 4.6))
    return Road(
        half_width=half_width if has_road else 0.0,
        colour=dirt if is_dirt else pick(rng, MINERALS[:5]),
        contrast=float(rng.uniform(0.06, 0.16)),
        has_lines=not is_dirt and bool(rng.random() < 0.85),
        wobble=float(rng.uniform(0.15, 0.35)) if is_dirt else 0.02,
        offset=float(rng.uniform(-1.5, 1.5)),
        bend=float(rng.normal(0.0, 0.004)),
        crossing=float(rng.uniform(8, 45)) if rng.random() < 0.25 else None,
    )


def _make_ground(rng: np.random.Generator, season: Sequence[Colour]) -> Ground:
    kind = str(rng.choice(["grass", "grass", "grass", "crop", "crop", "gravel", "soil"]))
    palette = MINERALS[:5] if kind == "gravel" else tuple(season)
    first, second = pick(rng, palette), pick(rng, palette)
    if kind == "soil":
        second = np.asarray((0.44, 0.36, 0.27), dtype=np.float32) * float(rng.uniform(0.8, 1.2))
    furrow = float(rng.uniform(0.2, 0.35)) if kind in {"crop", "soil"} else 0.0
    return Ground((first, second), float(rng.uniform(0.6, 1.0)), furrow)


def _beside(brush: Brush, road: Road, distance: float, width: float, gap: float) -> float:
    """Return a lateral place off the road where a thing of this width can be seen."""
    side = 1.0 if brush.chance(0.5) else -1.0
    nearest = road.half_width + gap + width / 2
    return side * brush.uniform(nearest, max(nearest + 1.0, 0.5 * distance + 2.0))


def _standing(
    brush: Brush, road: Road, distance: float, makers: Sequence[sprites.SpriteMaker], kind: int
) -> Prop:
    picture = makers[int(brush.rng.integers(len(makers)))](brush)
    gap = 0.3 if kind in {VEGETATION, TERRAIN} else 1.5
    return Prop(picture, kind, _beside(brush, road, distance, picture.size[0], gap), distance)


def _make_vehicle(brush: Brush, road: Road, distance: float, speed: float) -> Prop:
    on_road = road.half_width > 0 and brush.chance(0.65)
    if on_road:
        picture = vehicles.car_rear(brush)
        lane = road.half_width * brush.uniform(0.3, 0.6) * (1 if brush.chance(0.6) else -1)
        drift = speed * brush.uniform(0.4, 1.2) if lane > 0 else -speed * brush.uniform(0.3, 1.0)
        return Prop(picture, VEHICLE, lane, distance, drift)
    makers = (vehicles.car_side, vehicles.car_side, vehicles.lorry, vehicles.car_rear)
    picture = makers[int(brush.rng.integers(len(makers)))](brush)
    return Prop(picture, VEHICLE, _beside(brush, road, distance, picture.size[0], 0.2), distance)


def _make_pole_prop(brush: Brush, road: Road, distance: float) -> Prop:
    side = 1.0 if brush.chance(0.5) else -1.0
    lateral = side * (road.half_width + brush.uniform(0.4, 2.5))
    return Prop(make_pole(brush), POLE, lateral, distance)


def _make_props(brush: Brush, road: Road, options: SceneOptions, speed: float) -> tuple[Prop, ...]:
    """Fill the world; each class of things is missing from some scenes."""
    rng = brush.rng
    plants = (sprites.tree, sprites.tree, sprites.conifer, sprites.bush, sprites.bush)
    builds = (sprites.house, sprites.house, sprites.block, sprites.garden_wall)
    has_rare = options.has_rare or options.is_complete
    counts = {
        VEGETATION: int(rng.integers(8, 17)) if brush.chance(0.94) else 0,
        BUILDING: int(rng.integers(2, 8)) if brush.chance(0.85) else 0,
        VEHICLE: int(rng.integers(2, 7)) if brush.chance(0.85) else 0,
        POLE: int(rng.integers(2, 7)) if brush.chance(0.85) else 0,
    }
    if not has_rare:
        counts[VEHICLE] = counts[POLE] = 0

    def somewhere() -> float:
        return NEAREST + (WORLD_LENGTH - NEAREST) * float(rng.random()) ** 1.5

    props = [_standing(brush, road, somewhere(), (sprites.rock,), TERRAIN) for _ in range(2)]
    for kind, makers, nearest in ((VEGETATION, plants, 0.0), (BUILDING, builds, 8.0)):
        props += [
            _standing(brush, road, nearest + somewhere(), makers, kind) for _ in range(counts[kind])
        ]
    props += [_make_vehicle(brush, road, somewhere(), speed) for _ in range(counts[VEHICLE])]
    props += [_make_pole_prop(brush, road, somewhere()) for _ in range(counts[POLE])]
    if options.is_complete:
        props += _anchors(brush, road, speed)
    return tuple(props)


def _anchors(brush: Brush, road: Road, speed: float) -> list[Prop]:
    """Return one of each thing close ahead of the camera; the car keeps its distance."""
    edge = road.half_width + 1.2
    return [
        Prop(sprites.house(brush), BUILDING, -(edge + 7.0), 24.0),
        Prop(sprites.tree(brush), VEGETATION, edge + 3.5, 15.0),
        Prop(vehicles.car_rear(brush), VEHICLE, 0.45 * road.half_width, 10.0, speed),
        Prop(make_pole(brush), POLE, -edge, 9.0),
    ]
