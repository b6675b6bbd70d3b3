"""The label space: what the numbers in a mask mean.

One object holds class names, palette, the map from raw ids in files to class indices, and the
ignored index; every number that depends on classes derives from it.
"""

from __future__ import annotations

import colorsys
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from seglab.core.errors import LabelError

DEFAULT_IGNORE_INDEX = 255
BLACK = (0, 0, 0)
_GREY = (128, 128, 128)
# What is around the things looked for; a first class without a name of its own is that as a rule.
_BACKGROUND = re.compile(r"(back ?ground|bg|other|others|rest|nothing|(class)?[ _-]?0+)")
_MAX_RAW_ID = 65535
# Marks raw ids that no rule covers; outside every uint8 class index and ignore_index.
_UNKNOWN = -1


def normal_name(name: str) -> str:
    """Return a class name in Unicode's composed form (NFC), so that one name is one text.

    Raises:
        LabelError: It is not text, such as the `False` that YAML makes of an unquoted `no`.
    """
    if not isinstance(name, str):
        raise LabelError(f"class names are text, got {name!r}; write it in quotes")
    return unicodedata.normalize("NFC", name)


def default_palette(names: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """Return a distinct RGB colour in 0..255 a class, the same ones every time; background is grey.

    Hues step by the golden ratio and alternate in brightness, so neighbours in index differ most.
    """
    colours = []
    for index, name in enumerate(names):
        if _BACKGROUND.fullmatch(name.casefold()):
            colours.append(_GREY)
            continue
        hue = (index * 0.618033988749895) % 1.0
        value = (0.95, 0.70, 0.85)[index % 3]
        saturation = (0.75, 0.85, 0.55)[index % 3]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colours)


def voc_palette(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Return the VOC colours: the bits of the index, three at a time, from the highest bit down."""
    colours = []
    for index in range(num_classes):
        channels = [0, 0, 0]
        for step in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * step + channel) & 1) << (7 - step)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


@dataclass(frozen=True)
class LabelSpace:
    """Class names, colours and raw ids of one data set.

    Args:
        class_names: One name per class; the position is the class index.
        palette: One RGB triple (0..255) a class; made by `default_palette` when empty.
        raw_ids: Raw mask value in files -> class index or `ignore_index`. Empty: files hold class
            indices already, and `ignore_index` for ignored pixels.
        ignore_index: Value of pixels that count neither in losses nor in metrics. In 0..255 and
            outside `0..num_classes-1`.
        ignore_colour: RGB of ignored pixels in masks that hold colours; a class of the same colour
            comes first.

    Raises:
        LabelError: Names are empty or repeated, the palette has another length, `ignore_index` is a
            class index, or a raw id maps to no class. All mistakes are listed in the one message.
    """

    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    raw_ids: Mapping[int, int] = field(default_factory=dict)
    ignore_index: int = DEFAULT_IGNORE_INDEX
    ignore_colour: tuple[int, int, int] = BLACK

    def __post_init__(self) -> None:
        names = tuple(map(normal_name, self.class_names))
        palette = tuple((int(r), int(g), int(b)) for r, g, b in self.palette)
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "palette", palette or default_palette(names))
        object.__setattr__(self, "raw_ids", {int(k): int(v) for k, v in self.raw_ids.items()})
        problems = list(self._problems())
        if problems:
            raise LabelError("label space: " + "; ".join(problems))

    def _problems(self) -> Sequence[str]:
        count = len(self.class_names)
        problems = []
        if not 2 <= count <= 255:
            problems.append(f"expected 2 to 255 classes, got {count}")
        repeated = sorted({name for name in self.class_names if self.class_names.count(name) > 1})
        if repeated:
            problems.append(f"class names must be unique, repeated: {', '.join(repeated)}")
        if len(self.palette) != count:
            problems.append(f"palette has {len(self.palette)} colours for {count} classes")
        if not count <= self.ignore_index <= 255:
            problems.append(
                f"ignore_index must lie in {count}..255, outside the classes 0..{count - 1}; "
                f"got {self.ignore_index}"
            )
        for raw, index in self.raw_ids.items():
            if not 0 <= raw <= _MAX_RAW_ID:
                problems.append(f"raw id {raw} is outside 0..{_MAX_RAW_ID}")
            if not (0 <= index < count or index == self.ignore_index):
                problems.append(f"raw id {raw} maps to {index}, neither a class nor ignore_index")
        return problems

    @property
    def num_classes(self) -> int:
        """Number of classes; ignored pixels are not one."""
        return len(self.class_names)

    @cached_property
    def _table(self) -> np.ndarray:
        table = np.full(_MAX_RAW_ID + 1, _UNKNOWN, dtype=np.int16)
        if self.raw_ids:
            for raw, index in self.raw_ids.items():
                table[raw] = index
        else:
            table[: self.num_classes] = np.arange(self.num_classes)
            table[self.ignore_index] = self.ignore_index
        return table

    def encode(self, raw_mask: np.ndarray) -> np.ndarray:
        """Turn raw ids into class indices.

        Args:
            raw_mask: Integer array of any shape with raw ids in 0..65535.

        Returns:
            uint8 array of the same shape, values `0..num_classes-1` or `ignore_index`.

        Raises:
            LabelError: The mask is not of integers, or holds raw ids the label space does not know;
                the unknown ids are named.
        """
        if raw_mask.dtype.kind not in "iub":
            raise LabelError(f"expected an integer mask, got dtype {raw_mask.dtype}")
        if raw_mask.size and (raw_mask.min() < 0 or raw_mask.max() > _MAX_RAW_ID):
            raise LabelError(
                f"mask values must lie in 0..{_MAX_RAW_ID}, got {raw_mask.min()}..{raw_mask.max()}"
            )
        encoded = self._table[raw_mask]
        if encoded.size and encoded.min() == _UNKNOWN:
            unknown = np.unique(raw_mask[encoded == _UNKNOWN])
            shown = ", ".join(str(value) for value in unknown[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            known = sorted(self.raw_ids) or [*range(self.num_classes), self.ignore_index]
            raise LabelError(f"unknown mask values {shown}{more}; known are {known}")
        return encoded.astype(np.uint8)

    def colourise(self, mask: np.ndarray) -> np.ndarray:
        """Return mask `(H, W)` of class indices as RGB uint8 `(H, W, 3)`; ignored pixels are black."""
        colours = np.zeros((256, 3), dtype=np.uint8)
        colours[: self.num_classes] = self.palette
        return colours[mask]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, as written to YAML and JSON."""
        content = {
            "class_names": list(self.class_names),
            "palette": [list(colour) for colour in self.palette],
            "raw_ids": dict(self.raw_ids),
            "ignore_index": self.ignore_index,
        }
        if self.ignore_colour != BLACK:
            content["ignore_colour"] = list(self.ignore_colour)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LabelSpace:
        """Rebuild what `to_dict` returned (JSON turns the raw ids into strings; they are parsed)."""
        return cls(
            class_names=tuple(content["class_names"]),
            palette=tuple(tuple(colour) for colour in content.get("palette", ())),
            raw_ids={int(raw): int(index) for raw, index in content.get("raw_ids", {}).items()},
            ignore_index=int(content.get("ignore_index", DEFAULT_IGNORE_INDEX)),
            ignore_colour=tuple(content.get("ignore_colour", BLACK)),
        )
