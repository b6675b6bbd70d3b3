"""The label space of a folder: from the options where given, else from the masks themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.images import decode_raw_mask

_BINARY_NAMES = ("background", "foreground")
# 1-bit and 0/1 masks are binary too, so both 1 and 255 are foreground.
_BINARY_RAW_IDS = {0: 0, 1: 1, 255: 1}
_MAX_CLASSES = 255


@dataclass(frozen=True)
class LabelOptions:
    """What the user says about the labels of a folder.

    Args:
        class_names: Class names in index order; None: inferred.
        palette: One RGB triple a class; empty: made.
        raw_ids: Raw mask value -> class index or `ignore_index`; empty: they are the same.
        mask_encoding: `"index"` or `"colour"`.
        binary: Masks hold 0 and 255, or 0 and 1.
        ignore_index: Value of pixels that do not count.
    """

    class_names: tuple[str, ...] | None
    palette: tuple[tuple[int, int, int], ...]
    raw_ids: Mapping[int, int]
    mask_encoding: str
    binary: bool
    ignore_index: int

    @classmethod
    def parse(
        cls,
        class_names: Sequence[str] | None,
        palette: Sequence[Sequence[int]] | None,
        raw_ids: Mapping[Any, int] | None,
        mask_encoding: str,
        binary: bool,
        ignore_index: int,
    ) -> LabelOptions:
        """Return the options as given in a configuration.

        Raises:
            ConfigError: They contradict each other or cannot be read; every mistake is listed.
        """
        colours, problems = _parse_palette(palette or ())
        try:
            raw = {int(value): int(index) for value, index in (raw_ids or {}).items()}
        except (TypeError, ValueError):
            raw = {}
            problems.append(f"raw_ids maps numbers to numbers, got {dict(raw_ids or {})}")
        if mask_encoding == "colour" and not palette:
            problems.append("mask_encoding=colour needs a palette, one [r, g, b] a class")
        if mask_encoding == "colour" and (binary or raw_ids):
            problems.append("mask_encoding=colour goes with a palette, not with binary or raw_ids")
        if binary and raw_ids:
            problems.append("binary=true sets raw_ids itself; give one of the two")
        if problems:
            raise ConfigError(problems)
        names = None if class_names is None else tuple(str(name) for name in class_names)
        return cls(names, colours, raw, mask_encoding, binary, ignore_index)


def _parse_palette(
    given: Sequence[Sequence[int]],
) -> tuple[tuple[tuple[int, int, int], ...], list[str]]:
    colours, problems = [], []
    for colour in given:
        values = list(colour) if isinstance(colour, Sequence) else [colour]
        if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
            problems.append(f"a palette colour is three numbers in 0..255, got {colour!r}")
        else:
            colours.append((values[0], values[1], values[2]))
    return tuple(colours), problems


def label_space(masks: Sequence[Path], options: LabelOptions) -> tuple[LabelSpace, list[str]]:
    """Return the label space and notes on what was inferred.

    Args:
        masks: Mask files, read only when nothing else tells the number of classes.
        options: What the user says.

    Raises:
        DataError: The masks do not tell how many classes there are.
        LabelError: The label space is not valid.
    """
    names, raw_ids, binary = options.class_names, options.raw_ids, options.binary
    notes: list[str] = []
    if names is None and not binary:
        count = _count_known(options)
        if count is None:
            count, binary = _count_in_masks(masks, options.ignore_index, notes)
        if not binary:
            names = tuple(f"class_{index}" for index in range(count))
            notes.append(f"class_names not given: {names[0]} to {names[-1]}")
    if binary:
        raw_ids, names = _BINARY_RAW_IDS, names or _BINARY_NAMES
    return LabelSpace(names or (), options.palette, raw_ids, options.ignore_index), notes


def _count_known(options: LabelOptions) -> int | None:
    if options.palette:
        return len(options.palette)
    classes = [index for index in options.raw_ids.values() if index != options.ignore_index]
    return max(classes) + 1 if classes else None


def _count_in_masks(masks: Sequence[Path], ignore_index: int, notes: list[str]) -> tuple[int, bool]:
    """Return the number of classes the masks use, and whether they are 0/255 masks."""
    values: set[int] = set()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for found in pool.map(_values, masks):
            values |= found
    if values == {0, 255}:
        notes.append("masks hold only 0 and 255: taken as binary, background and foreground")
        return 2, True
    classes = sorted(values - {ignore_index})
    if not classes:
        gone = [mask for mask in masks if not mask.is_file()]
        why = f"{len(gone)} of {len(masks)} masks are not there" if masks else "there are no masks"
        example = f", for example {gone[0]}" if gone else ""
        raise DataError(
            f"class_names are not given, and no readable mask tells them: {why}{example}; check "
            "the options, or give class_names"
        )
    if classes[-1] >= _MAX_CLASSES:
        raise DataError(
            f"masks hold values up to {classes[-1]}, too many to be class indices; give raw_ids "
            f"(value -> class) for {', '.join(str(value) for value in classes[:20])}"
        )
    unused = sorted(set(range(classes[-1])) - values)
    if unused:
        shown = ", ".join(str(value) for value in unused[:10])
        notes.append(f"no mask holds class {shown}{' and more' if len(unused) > 10 else ''}")
    return max(2, classes[-1] + 1), False


def _values(mask: Path) -> set[int]:
    """Return the raw values in a mask; none for files that the manifest's check will name."""
    if not mask.is_file():
        return set()
    try:
        return {int(value) for value in np.unique(decode_raw_mask(mask.read_bytes(), mask))}
    except DataError:
        return set()
