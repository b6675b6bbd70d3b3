"""What happens to images on their way into a data set a second time: the list that duplicates are judged by.

Each is a function of an image, uint8 RGB `(H, W, 3)`, and a random generator.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _jpeg(image: np.ndarray, rng: np.random.Generator, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=quality)
    return np.array(Image.open(stream))


def _resize(image: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    height, width = (max(16, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _brightness(image: np.ndarray, rng: np.random.Generator, gain: float) -> np.ndarray:
    return np.clip(image.astype(np.float32) * gain, 0, 255).astype(np.uint8)


def _crop(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Cut a share off height and width, anywhere."""
    height, width = image.shape[:2]
    down, right = (round(side * share) for side in (height, width))
    top, left = int(rng.integers(0, down + 1)), int(rng.integers(0, right + 1))
    return image[top : top + height - down, left : left + width - right]


def _shift(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Move by up to a share of the sides; the edge is repeated."""
    height, width = image.shape[:2]
    down, right = (
        int(rng.integers(-n, n + 1)) for n in (round(height * share), round(width * share))
    )
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return image[np.ix_(rows, columns)]


def _flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


TRANSFORMS: dict[str, Transform] = {
    **{f"jpeg {quality}": partial(_jpeg, quality=quality) for quality in (30, 50, 70, 95)},
    **{f"resize {factor:g}": partial(_resize, factor=factor) for factor in (0.5, 0.75, 1.5)},
    **{f"brightness {gain:g}": partial(_brightness, gain=gain) for gain in (0.7, 0.85, 1.15, 1.3)},
    "crop 2 %": partial(_crop, share=0.02),
    "crop 5 %": partial(_crop, share=0.05),
    "shift 2 %": partial(_shift, share=0.02),
    "flip": _flip,
}
