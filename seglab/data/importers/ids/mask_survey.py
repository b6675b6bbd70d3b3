"""What is stored in the masks of a data set: values, colours and kinds of files, with their counts.

Facts only; what they may mean is judged in `seglab.data.importers.ids.inference`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from seglab.core.errors import DataError
from seglab.data.files.images import decode_image
from seglab.data.files.lossy import lossy_format
from seglab.data.files.masks import decode_raw_mask
from seglab.data.files.npy import NPY_START

Colour = tuple[int, int, int]
_ONE_CHANNEL = frozenset({"1", "L", "P", "I", "I;16", "I;16B", "I;16L", "F"})
_MAX_SHOWN = 20
# Of more values than that, the largest tell enough.
_SHOWN_OF_MANY = 6
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Storage:
    """How the masks are stored, from their headers alone.

    Attributes:
        lossy: Format -> its files, of formats whose compression changes values.
        channels: Pillow's mode (`RGB`, `LA`, ...) -> its files, of masks with several channels.
    """

    lossy: dict[str, list[Path]]
    channels: dict[str, list[Path]]

    def files(self) -> list[Path]:
        """Return the files of both kinds, each once, in their order of finding."""
        listed = [*self.lossy.values(), *self.channels.values()]
        return list(dict.fromkeys(path for paths in listed for path in paths))


@dataclass
class ValueSurvey:
    """The raw values of all readable masks.

    Attributes:
        pixels: Value -> number of pixels.
        sets: Set of values that one mask holds -> number of such masks.
        missing: Masks that are not there.
        unreadable: Masks that cannot be read, with the reason.
        palette_clash: What says that an index has different colours in two palette images.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    sets: Counter[frozenset[int]] = field(default_factory=Counter)
    missing: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    palette_clash: str = ""

    def masks_with(self, *values: int) -> int:
        """Return how many masks hold all of these values."""
        return sum(count for held, count in self.sets.items() if held.issuperset(values))

    def table(self) -> str:
        """Return every value with its counts; of many, those with the most pixels."""
        return _table({v: (n, self.masks_with(v)) for v, n in self.pixels.items()}, str)


@dataclass
class ColourSurvey:
    """The RGB colours of masks.

    Attributes:
        pixels: Colour -> number of pixels.
        masks: Colour -> number of masks with it.
    """

    pixels: Counter[Colour] = field(default_factory=Counter)
    masks: Counter[Colour] = field(default_factory=Counter)

    def all_grey(self) -> bool:
        """Return whether all pixels have three equal channels."""
        return all(red == green == blue for red, green, blue in self.pixels)

    def table(self) -> str:
        """Return every colour with its counts; of many, those with the most pixels."""
        return _table({c: (n, self.masks[c]) for c, n in self.pixels.items()}, _show_colour)


def survey_storage(masks: Sequence[Path]) -> Storage:
    """Read the headers of the masks; files that are missing or no images are left out."""
    lossy: dict[str, list[Path]] = {}
    channels: dict[str, list[Path]] = {}
    for path, (format_name, mode) in zip(masks, _map(_header, masks), strict=True):
        if format_name:
            lossy.setdefault(format_name, []).append(path)
        if mode and mode not in _ONE_CHANNEL:
            channels.setdefault(mode, []).append(path)
    return Storage(lossy, channels)


def survey_values(masks: Sequence[Path]) -> ValueSurvey:
    """Count the raw values of index masks."""
    found = ValueSurvey()
    painted: dict[int, tuple[Colour, Path]] = {}
    for path, content in zip(masks, _map(_values, masks), strict=True):
        if isinstance(content, str):
            found.unreadable.append(content)
        elif content is None:
            found.missing.append(path)
        else:
            counts, palette = content
            found.pixels.update(counts)
            found.sets[frozenset(counts)] += 1
            found.palette_clash = found.palette_clash or _clash(painted, palette, path)
    return found


def survey_colours(masks: Sequence[Path]) -> ColourSurvey:
    """Count the RGB colours of masks; files that cannot be read are left out."""
    found = ColourSurvey()
    for counts in _map(_colours, masks):
        found.pixels.update(counts)
        found.masks.update(dict.fromkeys(counts, 1))
    return found


def _header(path: Path) -> tuple[str, str]:
    try:
        with Image.open(path) as image:
            return lossy_format(image, path.read_bytes), image.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "", ""  # named when the manifest is built


def _values(path: Path) -> tuple[dict[int, int], dict[int, Colour]] | str | None:
    """Return pixels by value and, of a palette image, its colours; a reason; None: no file."""
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        values, counts = np.unique(decode_raw_mask(content, path), return_counts=True)
    except (DataError, OSError) as error:
        return str(error)
    by_value = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return by_value, {} if content.startswith(NPY_START) else _palette(path, by_value)


def _palette(path: Path, values: Iterable[int]) -> dict[int, Colour]:
    with Image.open(path) as image:
        colours = image.getpalette("RGB") if image.mode == "P" else None
    listed = [] if colours is None else list(zip(*[iter(colours)] * 3, strict=True))
    return {value: listed[value] for value in values if value < len(listed)}


def _clash(painted: dict[int, tuple[Colour, Path]], palette: dict[int, Colour], path: Path) -> str:
    for value, colour in palette.items():
        known, first = painted.setdefault(value, (colour, path))
        if known != colour:
            return (
                f"index {value} is painted {_show_colour(known)} in {first.name} and "
                f"{_show_colour(colour)} in {path.name}, so these palette images number their "
                "colours each in its own way"
            )
    return ""


def _colours(path: Path) -> dict[Colour, int]:
    try:
        wide = decode_image(path.read_bytes(), path).astype(np.uint32)
    except (DataError, OSError):
        return {}
    codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    values, counts = np.unique(codes, return_counts=True)
    colours = [(code >> 16, code >> 8 & 255, code & 255) for code in values.tolist()]
    return dict(zip(colours, counts.tolist(), strict=True))


def _map(function: Callable[[Path], _Found], masks: Sequence[Path]) -> Iterator[_Found]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(function, masks)


def _show_colour(colour: Colour) -> str:
    return "[{}, {}, {}]".format(*colour)


def _table(counts: Mapping[Any, tuple[int, int]], show: Callable[[Any], str]) -> str:
    shown = len(counts) if len(counts) <= _MAX_SHOWN else _SHOWN_OF_MANY
    largest = sorted(counts, key=lambda value: -counts[value][0])[:shown]
    parts = [
        f"{show(value)} ({counts[value][0]:,} pixels in {counts[value][1]:,} masks)"
        for value in sorted(largest)
    ]
    rest = len(counts) - len(largest)
    return ", ".join(parts) + (f" and {rest} more values with fewer pixels" if rest else "")
