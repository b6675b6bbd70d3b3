"""Masks as indexed PNG: class indices in the file, the classes' colours in every viewer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.disk.files import atomic_path


def mask_png(mask: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the bytes of the file.

    Args:
        mask: uint8 `(H, W)`: class indices, and any value for ignored pixels.
        palette: One RGB triple a class; other values are black.

    Returns:
        A PNG of 8 bits. Pillow writes a shorter palette with fewer bits, which turns 255 into 15.
    """
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette
    picture = Image.fromarray(mask)
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def write_mask(path: Path, mask: np.ndarray, palette: Sequence[tuple[int, int, int]]) -> None:
    """Write a mask in one step; arguments as for `mask_png`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(mask_png(mask, palette))
