"""Reading annotation files that may be broken or hostile: limits, and no way out of the root.

An annotation comes from elsewhere. Its size is bounded before it is parsed, XML without entities, and
a file name in it leads to a file below the root or nowhere.

References:
    Python, XML vulnerabilities: https://docs.python.org/3/library/xml.html#xml-security
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.text.escape import one_line

# What OpenCV and Pillow raise on bytes that are no image, and what JSON does when too deep or too long.
_BROKEN = (ValueError, OSError, SyntaxError, RecursionError, OverflowError, zlib.error, EOFError)


@dataclass(frozen=True)
class Limits:
    """What a file may ask for; beyond it the file is refused by name.

    Attributes:
        file_bytes: Size of an annotation file.
        pixels: Pixels of an image or mask, also of one inside an annotation.
        points: Vertices of one shape.
        shapes: Shapes on one image.
        reach: Coordinates lie within this many pixels of 0.
    """

    file_bytes: int = 1 << 30
    pixels: int = 1 << 28
    points: int = 200_000
    shapes: int = 200_000
    reach: float = 1e6


LIMITS = Limits()


class Record(BaseModel):
    """Base of what is expected in JSON or in the attributes of XML: other keys are passed over."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True, defer_build=True)

    @classmethod
    def of(cls, content: Any, where: str) -> Self:
        """Read plain content.

        Raises:
            DataError: It is not as expected; the first mistake is named with its place.
        """
        try:
            return cls.model_validate(content)
        except (ValidationError, RecursionError, OverflowError) as error:
            raise DataError(f"{where}: {_first(error)}") from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"nested too deeply or out of range ({type(error).__name__})"
    one = error.errors(include_url=False, include_input=True)[0]
    place = ".".join(str(part) for part in one["loc"]) or "the content"
    return f"{place}: {one['msg']}, got {one_line(repr(one['input'])[:80])}"


class Tree:
    """A folder of images and annotations; nothing outside it is ever read.

    Args:
        root: The folder.
        images: Paths of its images below it, with `/`.
        limits: What files may ask for.
    """

    def __init__(self, root: Path, images: Iterable[str], limits: Limits = LIMITS) -> None:
        self.root = root
        self.images = tuple(images)
        self.limits = limits

    @cached_property
    def images_known(self) -> frozenset[str]:
        """The paths of its images, to look one up."""
        return frozenset(self.images)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for image in self.images:
            found.setdefault(image.rpartition("/")[2], []).append(image)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for image in self.images:
            found.setdefault(Path(image).stem, []).append(image)
        return found

    def files(self, *suffixes: str) -> list[str]:
        """Return the files below the root with such endings that are not hidden, sorted."""
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if path.suffix.lower() in suffixes
            and not any(part.startswith(".") for part in path.relative_to(self.root).parts)
            and path.is_file()
        )

    def image(self, written: str, beside: str = "") -> str | None:
        """Return the image of the tree that an annotation names, or None.

        Tried in turn: the path from the annotation's folder, from the root, and, as tools write the
        path of another machine, the name alone where one image of the tree has it.

        Args:
            written: Name as in the annotation.
            beside: The annotation file, below the root.
        """
        if len(written) > 4096 or "\0" in written:
            return None
        parts = [part for part in written.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts:
            return None
        folder = [part for part in beside.split("/")[:-1] if part]
        for start in (folder, []):
            joined = _joined([*start, *parts])
            if joined in self.images_known:
                return joined
        alike = self._by_name.get(parts[-1], [])
        return alike[0] if len(alike) == 1 else None

    def image_of_stem(self, file: str) -> str | None:
        """Return the image that shares an annotation's stem: beside it, else the only one."""
        stem, folder = Path(file).stem, file.rpartition("/")[0]
        alike = self._by_stem.get(stem, [])
        near = [image for image in alike if image.rpartition("/")[0] == folder]
        chosen = near or alike
        return chosen[0] if len(chosen) == 1 else None

    def bytes(self, file: str) -> bytes:
        """Return the content of a file below the root.

        Raises:
            DataNotFoundError: There is no such file below the root.
            DataError: It is too large or cannot be read.
        """
        path = self.root / (_joined(file.split("/")) or ".")
        if not path.is_file() or not path.resolve().is_relative_to(self.root.resolve()):
            raise DataNotFoundError(f"{one_line(file)}: no such file below {self.root}")
        if (size := path.stat().st_size) > self.limits.file_bytes:
            raise DataError(
                f"{file}: {size:,} bytes, more than the {self.limits.file_bytes:,} that are read"
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error}") from error

    def text(self, file: str) -> str:
        """Return a UTF-8 text file."""
        try:
            return self.bytes(file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 text: {error.reason}") from error

    def json(self, file: str) -> Any:
        """Return the content of a JSON file."""
        return parse_json(self.bytes(file), file)

    def xml(self, file: str) -> Any:
        """Return the root element of an XML file."""
        return parse_xml(self.bytes(file), file)


def _joined(parts: Sequence[str]) -> str | None:
    """Return a path without `.` and `..`; None where it would leave the root."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON.

    Raises:
        DataError: It is none.
    """
    try:
        return json.loads(content)
    except _BROKEN as error:
        raise DataError(f"{where}: not JSON: {_reason(error)}") from error


def parse_xml(content: bytes, where: str) -> Any:
    """Parse XML without entities, external references and document types.

    Raises:
        DataError: It is none, or holds such.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{where}: XML with entities or a document type is refused") from error
    except (ParseError, LookupError, *_BROKEN) as error:
        raise DataError(f"{where}: not XML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return one_line(str(error) or type(error).__name__)[:200]


@contextmanager
def reasons_named(where: str) -> Iterator[None]:
    """Turn what decoders raise on bad content into a DataError that names the place."""
    try:
        yield
    except DataError as error:
        if str(error).startswith(where):
            raise
        raise type(error)(f"{where}: {error}") from error
    except (Image.DecompressionBombError, KeyError, TypeError, IndexError, *_BROKEN) as error:
        raise DataError(f"{where}: {type(error).__name__}: {_reason(error)}") from error


def ring(points: Sequence[Sequence[float]] | np.ndarray, limits: Limits = LIMITS) -> np.ndarray:
    """Return vertices as a float array `(N, 2)`.

    Raises:
        DataError: Too many, not pairs, not finite, or absurdly far away.
    """
    if len(points) > limits.points:
        raise DataError(f"{len(points):,} vertices, more than the {limits.points:,} that are read")
    try:
        array = np.asarray(points, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError("vertices are not pairs of numbers") from error
    if array.ndim != 2 or array.shape[1] != 2:
        raise DataError(f"expected vertices as pairs x, y, got an array of shape {array.shape}")
    if not np.isfinite(array).all() or (np.abs(array) > limits.reach).any():
        raise DataError(f"a vertex is not finite or farther than {limits.reach:,.0f} pixels away")
    return array


def pairs(numbers: Sequence[float], limits: Limits = LIMITS) -> np.ndarray:
    """Return a flat list x, y, x, y, ... as vertices `(N, 2)`."""
    if len(numbers) % 2:
        raise DataError(f"expected x and y in turn, got {len(numbers)} numbers")
    return ring(np.asarray(numbers, dtype=np.float64).reshape(-1, 2), limits)


def require_pixels(height: float, width: float, limits: Limits = LIMITS) -> None:
    """Refuse a size that is not positive or too large."""
    if not (height >= 1 and width >= 1 and height * width <= limits.pixels):
        raise DataError(
            f"a size of {height} x {width} pixels (H x W); expected 1 to {limits.pixels:,} pixels"
        )


def picture(content: bytes, limits: Limits = LIMITS) -> np.ndarray:
    """Decode a picture inside an annotation, values as stored, palette indices included.

    Raises:
        DataError: It is none, or too large.
    """
    with reasons_named("picture"), Image.open(io.BytesIO(content)) as image:
        require_pixels(image.height, image.width, limits)
        image.load()
        return np.asarray(image)


def from_base64(text: str) -> bytes:
    """Decode base64; white space does not matter.

    Raises:
        DataError: It is none.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"not base64: {error}") from error


def inflate(content: bytes, limit: int) -> bytes:
    """Decompress zlib up to a limit of bytes.

    Raises:
        DataError: It is no zlib stream, or larger.
    """
    stream = zlib.decompressobj()
    try:
        opened = stream.decompress(content, limit)
    except zlib.error as error:
        raise DataError(f"not a zlib stream: {error}") from error
    if stream.unconsumed_tail:
        raise DataError(f"decompresses to more than {limit:,} bytes")
    return opened
