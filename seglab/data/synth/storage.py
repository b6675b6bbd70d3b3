"""Files of the procedural data set: PNG images, indexed PNG masks with a palette."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from seglab.core.disk.mask_png import mask_png
from seglab.core.errors import DataError
from seglab.data.synth.drawing.classes import LABELS

# Level 1 writes noisy images four times as fast as the default and hardly larger.
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB uint8 `(H, W, 3)` image as PNG."""
    done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _FAST)
    if not done:
        raise DataError(f"{path}: OpenCV could not encode an image of shape {image.shape}")
    path.write_bytes(content.tobytes())


def read_image(path: Path) -> np.ndarray:
    """Read back what `write_image` wrote."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def recompressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return an RGB uint8 image as JPEG of this quality (1 to 100) leaves it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"))


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write class indices uint8 `(H, W)` as 8-bit indexed PNG; the palette is for the eye only."""
    path.write_bytes(mask_png(mask, LABELS.palette))


def read_mask(path: Path) -> np.ndarray:
    """Read back what `write_mask` wrote."""
    with Image.open(path) as picture:
        return np.asarray(picture)
