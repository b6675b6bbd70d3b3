"""The camera: from painted light to an 8-bit image with blur, noise, tint and vignette."""

from __future__ import annotations

import cv2
import numpy as np

from seglab.data.synth.drawing.scene import Scene

# Blur is given in px of an image this high, and scales with it.
_REFERENCE_HEIGHT = 192.0


def develop(
    canvas: np.ndarray, scene: Scene, rng: np.random.Generator, image_size: tuple[int, int]
) -> np.ndarray:
    """Turn the oversampled canvas into what the camera stores.

    Args:
        canvas: Light, float32 `(kH, kW, 3)`; values above 1 clip.
        scene: Gives the noise level and the domain shift.
        rng: Noise of this frame.
        image_size: `(H, W)` of the result.

    Returns:
        RGB uint8 `(H, W, 3)`.
    """
    height, width = image_size
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    scale, shift = height / _REFERENCE_HEIGHT, scene.options.shift
    sigma = float(rng.choice([0.3, 0.4, 0.75])) * scale
    if shift == "blur":
        sigma = 2.4 * scale
    image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.2))
    # White balance and exposure belong to the scene; they drift a little from frame to frame.
    scene_rng = np.random.default_rng(scene.key)
    gain = np.exp(scene_rng.normal(0.0, 0.05, 3) + scene_rng.normal(0.0, 0.1))
    gain = gain * np.exp(rng.normal(0.0, 0.02))
    image = image * (gain.astype(np.float32) * _vignette(height, width, scene_rng)[..., None])
    if shift == "colour":
        image = image @ _TINT.T
    noise = scene.light.noise + (0.07 if shift == "noise" else 0.0)
    # Shot noise grows with the light; a part of it is common to the three channels.
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    grain += grain.mean(axis=2, keepdims=True)
    level = np.sqrt(np.clip(image, 0.0, 1.0)) * np.float32(0.7 * noise)
    level += np.float32(0.5 * noise)
    image += level * grain
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8)


# Another camera: reds and blues leak into each other and the whole turns cold.
_TINT = np.asarray([[0.45, 0.25, 0.25], [0.15, 0.75, 0.25], [0.45, 0.15, 0.80]], dtype=np.float32)


def _vignette(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    strength, slope = float(rng.uniform(0.0, 0.25)), float(rng.uniform(-0.12, 0.12))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    return 1.0 - strength * 0.5 * (x**2 + y**2) + slope * x
