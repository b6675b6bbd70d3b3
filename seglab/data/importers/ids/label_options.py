"""What the options of an importer state about labels: names, colours, and the meaning of values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seglab.core.errors import ConfigError, LabelError, nearest
from seglab.core.labels import DEFAULT_IGNORE_INDEX, normal_name
from seglab.data.importers.options import FolderOptions

Colour = tuple[int, int, int]
IDENTITY = "identity"
IGNORE = "ignore"
_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_AS_GIVEN = ("mask_encoding", "binary", "ignore_index", "ignore_colour")


@dataclass(frozen=True)
class LabelOptions:
    """What the user says about the labels of a folder.

    Args:
        class_names: Class names in index order; None: not said.
        palette: One RGB triple a class; empty: made.
        raw_ids: Raw mask value -> class index or `ignore_index`; None: not said.
        identity: Said that the values in the masks are class indices.
        mask_encoding: `"index"` or `"colour"`.
        binary: Masks hold 0 and 255, or 0 and 1.
        ignore_index: Value of pixels that do not count; None: not said.
        ignore_colour: RGB of pixels that do not count; None: not said.
    """

    class_names: tuple[str, ...] | None
    palette: tuple[Colour, ...]
    raw_ids: Mapping[int, int] | None
    identity: bool
    mask_encoding: str
    binary: bool
    ignore_index: int | None
    ignore_colour: Colour | None

    @property
    def void(self) -> int:
        """The ignored index, said or not."""
        return DEFAULT_IGNORE_INDEX if self.ignore_index is None else self.ignore_index

    @property
    def num_classes(self) -> int | None:
        """Number of classes as far as it is said."""
        if self.class_names is not None:
            return len(self.class_names)
        if self.palette:
            return len(self.palette)
        classes = [index for index in (self.raw_ids or {}).values() if index != self.void]
        return max(classes) + 1 if classes else None

    @classmethod
    def parse(cls, given: FolderOptions) -> LabelOptions:
        """Return the options as given in a configuration.

        Raises:
            ConfigError: They contradict each other or cannot be read; every mistake is listed.
        """
        names, problems = _read_names(given.class_names)
        raw: dict[int, int] | None = None
        if isinstance(given.raw_ids, Mapping) and given.raw_ids:
            index = given.ignore_index
            void = DEFAULT_IGNORE_INDEX if index is None else index
            raw, names = _read_raw_ids(given.raw_ids, names, void, problems)
            if names and index is not None and not len(names) <= index <= 255:
                problems.append(
                    f"ignore_index is the index of ignored pixels, above the {len(names)} classes and "
                    f"below 256, got {index}; leave it out: raw_ids say which value is ignored"
                )
        colour = given.mask_encoding == "colour"
        if colour and not given.palette:
            problems.append("mask_encoding=colour needs a palette, one [r, g, b] a class")
        if colour and (given.binary or given.raw_ids):
            problems.append("mask_encoding=colour goes with a palette, not with binary or raw_ids")
        if not colour and given.ignore_colour:
            problems.append("ignore_colour goes with mask_encoding=colour")
        if given.binary and given.raw_ids:
            problems.append("binary=true sets raw_ids itself; give one of the two")
        if given.binary and names is not None and len(names) != 2:
            problems.append(f"binary=true goes with two class_names, got {len(names)}")
        if problems:
            raise ConfigError(problems)
        return cls(
            class_names=names,
            palette=tuple(given.palette or ()),
            raw_ids=raw,
            identity=given.raw_ids == IDENTITY,
            **{name: getattr(given, name) for name in _AS_GIVEN},
        )


def _read_names(given: Sequence[str] | None) -> tuple[tuple[str, ...] | None, list[str]]:
    names, problems = [], []
    for name in given or ():
        try:
            names.append(normal_name(name))
        except LabelError as error:
            problems.append(str(error))
    return (None if given is None else tuple(names)), problems


def _read_raw_ids(
    given: Mapping[Any, int | str], names: tuple[str, ...] | None, void: int, problems: list[str]
) -> tuple[dict[int, int], tuple[str, ...] | None]:
    """Return value -> index, and the class names, which the mapping may bring itself."""
    raw: dict[int, int] = {}
    own = [normal_name(str(one)) for one in given.values() if names is None and _is_name(one)]
    known = names or tuple(dict.fromkeys(own))
    if own and any(isinstance(one, int) for one in given.values()):
        problems.append("raw_ids gives class indices and names; give one kind, or class_names too")
    if IGNORE in known:
        problems.append(f"raw_ids: '{IGNORE}' means ignored pixels; call that class otherwise")
    for key, meaning in given.items():
        match = _RANGE.fullmatch(str(key))
        index = _index_of(meaning, known, void)
        if match is None:
            problems.append(
                f"raw_ids: expected a value such as 255, or 0-127, got {_mend(key, meaning)}"
            )
        elif isinstance(index, str):
            problems.append(index)
        else:
            low, high = int(match[1]), int(match[2] or match[1])
            twice = [value for value in range(low, high + 1) if value in raw]
            if twice or high < low:
                problems.append(
                    f"raw_ids: {key} says value {(twice or [low])[0]} anew or backwards"
                )
            raw.update(dict.fromkeys(range(low, high + 1), index))
    return raw, known or None


def _mend(key: Any, meaning: Any) -> str:
    """Return a key that is no value, and how it is typed where that can be told."""
    value, colon, name = str(key).partition(":")
    if colon and name:
        return f"{key!r}: put a space after the colon, {{{value}: {name}}}"
    if _RANGE.fullmatch(str(meaning)):
        return f"{key!r}: the value comes first, {{{meaning}: {key}}}"
    return repr(key)


def _is_name(meaning: Any) -> bool:
    return isinstance(meaning, str) and meaning != IGNORE and not meaning.isdecimal()


def _index_of(meaning: Any, names: tuple[str, ...], void: int) -> int | str:
    """Return the index of a name or number, or what is wrong with it."""
    if isinstance(meaning, int) and not isinstance(meaning, bool):
        return meaning
    if not isinstance(meaning, str):
        return f"raw_ids: expected an index, a class name or '{IGNORE}', got {meaning!r}"
    if meaning == IGNORE:
        return void
    name = normal_name(meaning)
    if name in names:
        return names.index(name)
    if name.isdecimal():
        return int(name)
    return f"raw_ids: no class is called '{meaning}'{nearest(name, names)}; classes are {', '.join(names)}"
