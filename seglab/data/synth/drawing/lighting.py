"""Times of day and weather: what light falls on a scene and what the sky looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TIMES = ("day", "overcast", "dusk", "night")
_TIME_SHARES = (0.36, 0.24, 0.2, 0.2)
_FOG_SHARE = 0.12


@dataclass(frozen=True)
class Light:
    """Light of one scene; colours are RGB in 0..1 before the camera's gain.

    Args:
        time: One of `TIMES`.
        sky_top: Colour of the sky overhead.
        sky_low: Colour of the sky at the horizon, which haze also takes.
        cloud: Colour of clouds.
        cloud_cover: Share of the sky that clouds take, in 0..1.
        ambient: Light that multiplies every surface.
        sun_side: -1 (from the left) to 1 (from the right).
        shadow: How much light a cast shadow takes away, in 0..1.
        haze: Extinction per metre.
        noise: Standard deviation of the camera's noise, in 0..1.
        headlights: Strength of the camera car's own lights.
    """

    time: str
    sky_top: np.ndarray
    sky_low: np.ndarray
    cloud: np.ndarray
    cloud_cover: float
    ambient: np.ndarray
    sun_side: float
    shadow: float
    haze: float
    noise: float
    headlights: float

    @property
    def is_dark(self) -> bool:
        """Whether lamps and windows are lit."""
        return self.time in {"dusk", "night"}

    @property
    def is_foggy(self) -> bool:
        """Whether things 30 m away lose more than half of their contrast."""
        return self.haze > 0.024


def _rgb(*values: float) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _daylight(rng: np.random.Generator) -> Light:
    return Light(
        time="day",
        sky_top=_rgb(0.22, 0.42, 0.74) * rng.uniform(0.85, 1.15),
        sky_low=_rgb(0.70, 0.80, 0.90),
        cloud=_rgb(0.94, 0.94, 0.95),
        cloud_cover=float(rng.uniform(0.0, 0.6)),
        ambient=_rgb(1.08, 1.04, 0.96) * rng.uniform(0.85, 1.1),
        sun_side=float(rng.uniform(-1, 1)),
        shadow=float(rng.uniform(0.35, 0.6)),
        haze=float(rng.uniform(0.002, 0.008)),
        noise=0.012,
        headlights=0.0,
    )


def _overcast(rng: np.random.Generator) -> Light:
    grey = float(rng.uniform(0.55, 0.82))
    return Light(
        time="overcast",
        sky_top=_rgb(0.92, 0.96, 1.0) * grey,
        sky_low=_rgb(1.02, 1.02, 1.02) * grey,
        cloud=_rgb(0.9, 0.92, 0.95) * grey * 0.8,
        cloud_cover=0.8,
        ambient=_rgb(0.80, 0.84, 0.90) * rng.uniform(0.8, 1.1),
        sun_side=float(rng.uniform(-0.3, 0.3)),
        shadow=0.15,
        haze=float(rng.uniform(0.005, 0.014)),
        noise=0.018,
        headlights=0.0,
    )


def _dusk(rng: np.random.Generator) -> Light:
    warmth = float(rng.uniform(0.6, 1.0))
    return Light(
        time="dusk",
        sky_top=_rgb(0.26, 0.28, 0.46),
        sky_low=_rgb(0.90, 0.55, 0.32) * (0.7 + 0.3 * warmth),
        cloud=_rgb(0.62, 0.40, 0.42),
        cloud_cover=float(rng.uniform(0.2, 0.7)),
        ambient=_rgb(0.66, 0.50, 0.44) * rng.uniform(0.75, 1.0),
        sun_side=float(rng.choice([-1.0, 1.0])),
        shadow=0.3,
        haze=float(rng.uniform(0.004, 0.010)),
        noise=0.024,
        headlights=0.15,
    )


def _night(rng: np.random.Generator) -> Light:
    dark = float(rng.uniform(0.8, 1.3))
    return Light(
        time="night",
        sky_top=_rgb(0.03, 0.04, 0.09) * dark,
        sky_low=_rgb(0.13, 0.13, 0.18) * dark,
        cloud=_rgb(0.10, 0.10, 0.13) * dark,
        cloud_cover=float(rng.uniform(0.0, 0.6)),
        ambient=_rgb(0.30, 0.32, 0.40) * rng.uniform(0.8, 1.2),
        sun_side=0.0,
        shadow=0.0,
        haze=float(rng.uniform(0.004, 0.010)),
        noise=0.028,
        headlights=float(rng.uniform(0.5, 0.8)),
    )


_MAKERS = {"day": _daylight, "overcast": _overcast, "dusk": _dusk, "night": _night}


def make_light(rng: np.random.Generator, shift: str = "none") -> Light:
    """Choose the light of a scene; `shift` "night" or "fog" fixes it to that condition."""
    time = str(rng.choice(TIMES, p=_TIME_SHARES))
    has_fog = bool(rng.random() < _FOG_SHARE)
    fog = float(rng.uniform(0.026, 0.045))
    if shift == "night":
        return _night(rng)
    if shift == "fog":
        return replace(_overcast(rng), haze=fog + 0.025)
    light = _MAKERS[time](rng)
    return replace(light, haze=fog) if has_fog and time in {"day", "overcast"} else light
