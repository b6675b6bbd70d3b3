"""Pages that need nothing beside themselves: pictures, style and script are in the one file."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from seglab.core.labels import LabelSpace

_TEMPLATES = Path(__file__).parent / "template"
_JPEG_QUALITY = 85


def render(name: str, **content: Any) -> str:
    """Return the page of the template `NAME.html.j2`, with `NAME.js` where there is one.

    All text is escaped, and a content security policy allows the page's own script only and no address
    outside it, so that names out of a data set cannot run or load anything.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    own = _TEMPLATES / f"{name}.js"
    script = own.read_text("utf-8") if own.is_file() else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template(f"{name}.html.j2").render(
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup((_TEMPLATES / "page.css").read_text("utf-8")),  # noqa: S704 - our own file
        script_hash=digest,
        **content,
    )


def photo(image: np.ndarray, max_side: int) -> str:
    """Return an image uint8 RGB `(H, W, 3)` as a JPEG in a data URI, its longer side at most so long."""
    buffer = io.BytesIO()
    Image.fromarray(_fit(image, max_side, cv2.INTER_AREA)).save(
        buffer, format="JPEG", quality=_JPEG_QUALITY
    )
    return _uri("jpeg", buffer)


def overlay(mask: np.ndarray, labels: LabelSpace, max_side: int) -> str:
    """Return class indices uint8 `(H, W)` as a PNG in the classes' colours; ignored pixels are clear."""
    picture = Image.fromarray(_fit(mask, max_side, cv2.INTER_NEAREST))
    picture.putpalette(labels.colourise(np.arange(256, dtype=np.uint8)).tobytes())
    seen = np.full(256, 255, dtype=np.uint8)
    seen[labels.ignore_index] = 0
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", transparency=seen.tobytes(), optimize=True)
    return _uri("png", buffer)


def swatch(labels: LabelSpace, index: int) -> str:
    """Return the colour of a class for CSS."""
    return "#{:02x}{:02x}{:02x}".format(*labels.palette[index])


def _fit(pixels: np.ndarray, max_side: int, method: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=method))


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
