"""Sky, far hills, ground and road: the background that things are painted on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from seglab.data.synth.drawing.camera import View
from seglab.data.synth.drawing.classes import ROAD, SKY, TERRAIN, VEGETATION
from seglab.data.synth.drawing.scene import NOISE_PX, Road, Scene

# Haze stops thickening here, so the horizon keeps a trace of ground.
_FAR_M = 120.0
# Beyond this a road is thinner than a pixel.
_ROAD_END_M = 200.0
_VERGE_M = 0.22
HEADLIGHT = np.asarray((1.0, 0.95, 0.8), dtype=np.float32)


def paint_sky(
    colour: np.ndarray, number: np.ndarray, scene: Scene, horizon: float, travelled: float
) -> None:
    """Paint gradient, clouds, hills and treeline above the horizon.

    Args:
        colour: Canvas float32 `(H, W, 3)`, changed in place.
        number: Class numbers uint8 `(H, W)`, changed in place.
        scene: What to paint.
        horizon: Canvas row of the horizon.
        travelled: Metres since frame 0; clouds drift with it.
    """
    rows, width = int(np.ceil(horizon)), colour.shape[1]
    light = scene.light
    rise = (np.arange(rows, dtype=np.float32) / max(rows, 1)) ** 1.4
    sky = light.sky_top[None] + (light.sky_low - light.sky_top)[None] * rise[:, None]
    cover = _clouds(scene, rows, width, travelled)
    above = colour[:rows]
    np.multiply(cover[..., None], (light.cloud[None] - sky)[:, None], out=above)
    above += sky[:, None]
    number[:rows] = SKY
    for class_index, profile, haze, which in (
        (TERRAIN, scene.hills, 0.75, 0),
        (VEGETATION, scene.treeline, 0.45, 1),
    ):
        tint = scene.far_colours[which] * light.ambient
        haze = max(haze, 1.0 - math.exp(-light.haze * _FAR_M))
        far = (tint * (1 - haze) + light.sky_low * haze).astype(np.float32)
        _skyline(colour, number, scene, profile * colour.shape[0], horizon, far, class_index)


def _skyline(
    colour: np.ndarray,
    number: np.ndarray,
    scene: Scene,
    profile: np.ndarray,
    horizon: float,
    far: np.ndarray,
    class_index: int,
) -> None:
    """Paint what stands at the end of the world, `profile` canvas px high along the horizon."""
    end, width = int(np.ceil(horizon)), colour.shape[1]
    start = max(0, end - int(np.ceil(profile.max())))
    if start == end:
        return
    x = (np.arange(width, dtype=np.float32) / width * 120.0 + scene.key[1]) % NOISE_PX
    top = np.interp(x, np.arange(NOISE_PX), profile)
    inside = (horizon - np.arange(start, end, dtype=np.float32))[:, None] < top[None]
    grain = _patch(scene.noise, end - start, width)[..., None]
    np.copyto(colour[start:end], far * (0.75 + 0.5 * grain), where=inside[..., None])
    number[start:end][inside] = class_index


def _clouds(scene: Scene, rows: int, width: int, travelled: float) -> np.ndarray:
    """Return cloud opacity in 0..1, float32 `(rows, width)`."""
    x = np.arange(width, dtype=np.float32) * (NOISE_PX / width) * 0.8 + travelled * 0.3
    # Clouds flatten towards the horizon.
    y = NOISE_PX * 0.5 * np.linspace(0, 1, rows, dtype=np.float32) ** 0.6
    map_x, map_y = np.meshgrid(x, y)
    soft = cv2.remap(scene.coarse, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    start = 0.8 - 0.55 * scene.light.cloud_cover
    return np.clip((soft - start) / 0.28, 0.0, 1.0) * 0.85


def _patch(noise: np.ndarray, rows: int, columns: int) -> np.ndarray:
    wide = np.take(noise, np.arange(columns) % NOISE_PX, axis=1)
    return np.take(wide, np.arange(rows) % NOISE_PX, axis=0)


def _sample(noise: np.ndarray, x: np.ndarray, z: np.ndarray, density: float) -> np.ndarray:
    """Look tiling noise up at world metres; `z` is a column that all pixels of a row share."""
    # remap holds coordinates in 16 bit; the drive makes z grow without end, x stays small.
    row = np.mod(z * density, NOISE_PX).astype(np.float32)
    map_y = np.repeat(row[:, None], x.shape[1], axis=1)
    return cv2.remap(
        noise, x * np.float32(density), map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )


def paint_ground(
    colour: np.ndarray, number: np.ndarray, scene: Scene, view: View, shade: np.ndarray | None
) -> None:
    """Paint terrain and road below the horizon.

    Args:
        colour: Canvas float32 `(H, W, 3)`, changed in place.
        number: Class numbers uint8 `(H, W)`, changed in place.
        scene: What to paint.
        view: The camera.
        shade: Cast shadows on the ground rows, float32 `(rows, W)`, 1 = black; or None.
    """
    depth, light = view.depth, scene.light
    across = (np.arange(view.width) - view.centre).astype(np.float32)
    x = across[None] * (depth / np.float32(view.focal))[:, None]
    place = Place(
        x=x,
        depth=depth,
        z=depth + np.float32(view.travelled),
        fine=_sample(scene.noise, x, depth + np.float32(view.travelled), 22.0) - 0.5,
        coarse=_sample(scene.coarse, x, depth + np.float32(view.travelled), 3.0),
        close=np.clip(12.0 / depth, 0.2, 1.0)[:, None],
    )
    ground = colour[view.first_row :]
    _paint_terrain(ground, scene, place)
    on_road = _paint_road(ground, scene.road, scene.coarse, place)
    if shade is not None:
        ground *= (1.0 - shade)[..., None]
    clear = np.exp(-light.haze * np.minimum(depth, _FAR_M)).astype(np.float32)[:, None, None]
    lit = light.ambient * clear
    if light.headlights > 0:
        fall = np.exp(-((across / (0.45 * view.focal)) ** 2)) * np.float32(light.headlights)
        ahead = np.exp(-depth / 16.0)[:, None] * fall[None]
        lit = lit + ahead[..., None] * (HEADLIGHT * clear)
    ground *= lit
    ground += light.sky_low * (1.0 - clear)
    number[view.first_row :] = np.where(on_road, np.uint8(ROAD), np.uint8(TERRAIN))


@dataclass(frozen=True)
class Place:
    """Where the ground pixels are in the world.

    Args:
        x: Metres to the right of the camera, `(rows, W)`.
        depth: Metres ahead of the camera, `(rows,)`.
        z: Metres from where the drive began, `(rows,)`.
        fine: Grain noise in -0.5..0.5, `(rows, W)`.
        coarse: Patch noise in 0..1, `(rows, W)`.
        close: How much of the grain the distance leaves, `(rows, 1)`.
    """

    x: np.ndarray
    depth: np.ndarray
    z: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray
    close: np.ndarray


def _paint_terrain(ground: np.ndarray, scene: Scene, place: Place) -> None:
    first, second = scene.ground.colours
    np.multiply(place.coarse[..., None], second - first, out=ground)
    ground += first
    tone = place.fine * (scene.ground.contrast * place.close)
    tone += 1.0
    if scene.ground.furrow:
        bow = (scene.road.offset * 5.5 + 0.2 * np.sin(place.z)).astype(np.float32)
        rows = np.sin(place.x * np.float32(5.5) + bow[:, None])
        tone += rows * (scene.ground.furrow * place.close)
    ground *= tone[..., None]


def _paint_road(ground: np.ndarray, road: Road, coarse: np.ndarray, place: Place) -> np.ndarray:
    """Paint the road over the terrain; returns where it is, bool `(rows, W)`."""
    depth = place.depth
    if road.half_width <= 0:
        return np.zeros(place.x.shape, dtype=bool)
    away = np.abs(place.x - (road.offset + road.bend * depth**2).astype(np.float32)[:, None])
    stray = 1.0 + road.wobble * (_along(coarse, place.z, 2.0) - 0.5)
    reach = np.where(depth < _ROAD_END_M, road.half_width * stray, 0.0).astype(np.float32)
    inside = away < reach[:, None]
    if road.crossing is not None:
        ahead = road.crossing - (place.z - depth)
        inside |= (np.abs(depth - ahead) < road.half_width)[:, None]
    tone = place.fine * (road.contrast * place.close)
    tone += 0.875 + 0.25 * place.coarse
    if not road.has_lines:
        tone -= 0.2 * np.exp(-(((away - np.float32(0.75)) / np.float32(0.28)) ** 2))
    # A worn, darker verge runs along both borders, as real roads have it.
    tone -= 0.25 * np.exp(-(((away - reach[:, None]) / np.float32(_VERGE_M)) ** 2))
    ground[inside] = road.colour * tone[inside][:, None]
    if road.has_lines:
        ground[_lines(road, away, place.z) & inside] = 0.82
    return inside


def _lines(road: Road, away: np.ndarray, z: np.ndarray) -> np.ndarray:
    dashes = (np.mod(z, 6.0) < 3.0)[:, None] & (away < 0.09)
    edges = np.abs(away - np.float32(road.half_width - 0.3)) < 0.07
    return dashes | edges


def _along(noise: np.ndarray, z: np.ndarray, density: float) -> np.ndarray:
    return np.interp(np.mod(z * density, NOISE_PX), np.arange(NOISE_PX), noise[0])
