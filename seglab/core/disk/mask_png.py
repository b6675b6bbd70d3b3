"""Masks as indexed PNG: class indices in the file, the classes' colours in every viewer."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

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


def write_mask_rows(
    path: Path,
    rows: Iterable[np.ndarray],
    size: tuple[int, int],
    palette: Sequence[tuple[int, int, int]],
) -> None:
    """Write a mask that is not held as a whole, in one step.

    Args:
        path: The file.
        rows: uint8 `(rows, W)` from top to bottom, together the mask.
        size: (H, W) of the mask.
        palette: As for `mask_png`.

    References:
        W3C, PNG Specification (Third Edition), 5 and 11: https://www.w3.org/TR/png-3/
    """
    colours = np.zeros((256, 3), dtype=np.uint8)
    colours[: len(palette)] = palette
    packer = zlib.compressobj(6)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        # 8 bits, indexed, not interlaced.
        _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8, 3, 0, 0, 0))
        _chunk(stream, b"PLTE", colours.tobytes())
        for band in rows:
            # Each row begins with its filter: none.
            content = packer.compress(np.pad(band, ((0, 0), (1, 0))).tobytes())
            if content:
                _chunk(stream, b"IDAT", content)
        _chunk(stream, b"IDAT", packer.flush())
        _chunk(stream, b"IEND", b"")


def _chunk(stream: IO[bytes], kind: bytes, content: bytes) -> None:
    stream.write(struct.pack(">I", len(content)) + kind + content)
    stream.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
