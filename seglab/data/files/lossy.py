"""Which image files do not hold the pixels that were saved: masks in them have invented values."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

_LOSSY_FORMATS = frozenset({"JPEG", "MPO"})
_LOSSY_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp", "jpeg2000"})


def lossy_format(image: Image.Image, read: Callable[[], bytes]) -> str:
    """Return the format of an opened image if its compression changes pixels, else nothing.

    Args:
        image: The image; its header is enough.
        read: Returns the file's bytes; asked of WebP, which comes in both kinds.
    """
    if image.format == "WEBP":
        return "" if _is_lossless_webp(read()) else "lossy WebP"
    if image.format == "TIFF" and image.info.get("compression") in _LOSSY_TIFF:
        return "TIFF with JPEG compression"
    return image.format or "" if image.format in _LOSSY_FORMATS else ""


def _is_lossless_webp(content: bytes) -> bool:
    """Return whether the first chunk with pixels is of the lossless kind."""
    place = 12
    while place + 8 <= len(content):
        name = content[place : place + 4]
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False
