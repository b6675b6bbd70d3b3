"""Images and thumbnails beside the log's rows, where privacy allows them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.core.disk.files import atomic_path
from seglab.monitor.log.pruning import IMAGES
from seglab.monitor.options import LogOptions

_QUALITY = 85


def store_picture(
    pixels: np.ndarray[Any, Any], options: LogOptions, day: str, name: str
) -> tuple[str, int]:
    """Write what may be kept of an image.

    An image is kept as the model saw it: upright, without loss, and without what its file told besides,
    such as where it was taken. What is no 8-bit colour or grey is kept as an array (.npy), and its
    thumbnail shows the first channels.

    Args:
        pixels: `(H, W, C)`.
        options: Say what may be kept.
        day: Folder of the day.
        name: Without an ending.

    Returns:
        Path below the log's folder, and its bytes.
    """
    is_thumbnail = options.privacy == "thumbnails"
    is_plain = pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3)
    ending = "jpg" if is_thumbnail else "png" if is_plain else "npy"
    folder = Path(options.folder).expanduser()
    place = _free_place(folder, f"{day}/{IMAGES}/{name}", ending)
    with atomic_path(folder / place) as temporary:
        if ending == "npy":
            with temporary.open("wb") as stream:
                np.save(stream, pixels, allow_pickle=False)
        elif is_thumbnail:
            picture = _shown(pixels)
            picture.thumbnail((options.thumbnail, options.thumbnail))
            picture.save(temporary, "JPEG", quality=_QUALITY)
        else:
            _shown(pixels).save(temporary, "PNG", compress_level=1)
        size = temporary.stat().st_size
    return place, size


def _free_place(folder: Path, stem: str, ending: str) -> str:
    """Return a path that no image has: callers choose request ids, and may choose one twice."""
    names = (
        f"{stem}{f'_{number}' if number > 1 else ''}.{ending}" for number in itertools.count(1)
    )
    return next(name for name in names if not (folder / name).exists())


def _shown(pixels: np.ndarray[Any, Any]) -> Image.Image:
    values = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
    if values.dtype != np.uint8:
        values = values.astype(np.float64)
        low, high = np.nanmin(values), np.nanmax(values)
        values = np.nan_to_num((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
