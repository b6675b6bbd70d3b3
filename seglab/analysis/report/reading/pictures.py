"""Pictures of a report: small, bounded in their sum, each kept once as a `data:` address."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, features

from seglab.analysis.report.model import Picture
from seglab.core.errors import DataError

Content = Literal["photo", "mask", "confidence", "figure", "chart"]

# Quality of lossy WebP; masks are stored without loss, for a blurred mask shows classes that no
# one predicted, and so are charts, whose thin lines would fray and which weigh less that way. A
# figure holds photos and text and keeps more than photos alone.
_QUALITY = {"photo": 76, "confidence": 60, "figure": 82}
_WIDER = {"figure": 3.0, "chart": 3.0}
_LOSSLESS = ("mask", "chart")
_SMALLEST = 160


@dataclass(frozen=True)
class _Entry:
    path: Path
    content: Content


class Album:
    """Collects pictures, then encodes them all at a width at which they fit a budget.

    Args:
        width: Pixels a picture is at most wide; a figure or chart three times that.
        max_bytes: What all pictures together may weigh in the page, as base64. Reached by shrinking
            all of them, down to 160 pixels of width, never by leaving some out.
    """

    def __init__(self, width: int = 480, max_bytes: int = 8_000_000) -> None:
        self.width = width
        self.max_bytes = max_bytes
        self._entries: dict[str, _Entry] = {}

    def add(self, path: Path, content: Content) -> str:
        """Take a picture in and return its key; the same file content gets the same key.

        Raises:
            DataError: There is no such file, or it is no picture.
        """
        try:
            raw = path.read_bytes()
            with Image.open(io.BytesIO(raw)) as image:
                image.load()
        except FileNotFoundError as error:
            raise DataError(f"{path.name} is missing") from error
        # Pillow raises SyntaxError for broken PNG chunks and its own error for huge pictures.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path.name} is no readable picture: {error}") from error
        digest = hashlib.sha256(content.encode() + raw).hexdigest()
        key = f"p{digest[:12]}"
        self._entries[key] = _Entry(path, content)
        return key

    def develop(self) -> dict[str, Picture]:
        """Encode all pictures; a second time, smaller, where they weigh too much.

        Raises:
            DataError: A picture vanished or changed in the meantime.
        """
        pictures = self._encode(self.width)
        weight = sum(len(picture.uri) for picture in pictures.values())
        if weight > self.max_bytes and self.width > _SMALLEST:
            # Bytes grow a little slower than area; 0.95 makes one more round needless.
            width = round(self.width * 0.95 * (self.max_bytes / weight) ** 0.5)
            pictures = self._encode(max(_SMALLEST, width))
        return pictures

    def _encode(self, width: int) -> dict[str, Picture]:
        return {key: _encode(key, entry, width) for key, entry in self._entries.items()}


def _encode(key: str, entry: _Entry, width: int) -> Picture:
    limit = round(width * _WIDER.get(entry.content, 1.0))
    try:
        with Image.open(entry.path) as opened:
            grey = entry.content == "confidence"
            image = opened.convert("L" if grey else "RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{entry.path.name} is no readable picture: {error}") from error
    if image.width > limit:
        size = (limit, max(1, round(image.height * limit / image.width)))
        exact = entry.content == "mask"
        image = image.resize(size, Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS)
    kind, raw = _compress(image, entry.content)
    uri = f"data:image/{kind};base64,{base64.b64encode(raw).decode('ascii')}"
    return Picture(key, uri, image.width, image.height)


def _compress(image: Image.Image, content: Content) -> tuple[str, bytes]:
    stream = io.BytesIO()
    if features.check("webp"):
        if content in _LOSSLESS:
            image.save(stream, "WEBP", lossless=True, quality=80, method=4)
        else:
            image.save(stream, "WEBP", quality=_QUALITY[content], method=4)
        return "webp", stream.getvalue()
    if content in _LOSSLESS:
        image.save(stream, "PNG", optimize=True)
        return "png", stream.getvalue()
    image.save(stream, "JPEG", quality=_QUALITY[content], optimize=True)
    return "jpeg", stream.getvalue()
