"""Connected parts of the masks of a data set: where they are, how large, cut off, and beside what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd

from seglab.core.errors import DataError, list_problems
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

COLUMNS = ("row", "class_index", "left", "top", "width", "height", "area", "cut_off", "beside")


def find_parts(manifest: Manifest, rows: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    """Return every connected part (8 neighbours) of every class.

    Args:
        manifest: The data set.
        rows: Which of its samples; all have a mask.

    Returns:
        Columns `COLUMNS`: the place in `rows`, the class, the box in px, the area in px, whether the
        image's edge cuts the part off, and how many other classes it touches; void is none.

    Raises:
        DataError: Masks cannot be read; all of them are named.
    """
    found: list[tuple[int, ...]] = []
    problems = []
    for number, row in enumerate(rows):
        try:
            mask = read_mask(manifest.path(row["mask"]), manifest.labels, manifest.mask_encoding)
        except DataError as error:
            problems.append(f"{row['sample_id']}: {error}")
            continue
        found += [(number, *part) for part in _parts(mask, manifest.labels.num_classes)]
    if problems:
        raise DataError(list_problems("masks cannot be read; mend or drop them", problems))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _parts(mask: np.ndarray, num_classes: int) -> Iterator[tuple[int, ...]]:
    height, width = mask.shape
    for index in np.unique(mask[mask < num_classes]):
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(
            (mask == index).astype(np.uint8), connectivity=8
        )
        beside = _neighbours(numbers, mask, int(index), num_classes, count)
        for number in range(1, count):
            left, top, wide, high, area = (int(value) for value in stats[number])
            cut_off = left == 0 or top == 0 or left + wide == width or top + high == height
            yield int(index), left, top, wide, high, area, int(cut_off), int(beside[number])


def _neighbours(
    numbers: np.ndarray, mask: np.ndarray, index: int, num_classes: int, count: int
) -> np.ndarray:
    """Return how many other classes each part touches, `(count,)`."""
    touches = np.zeros((count, 256), dtype=bool)
    ahead, behind = (slice(1, None), slice(None, -1))
    for rows, others in (
        ((ahead, slice(None)), (behind, slice(None))),
        ((behind, slice(None)), (ahead, slice(None))),
        ((slice(None), ahead), (slice(None), behind)),
        ((slice(None), behind), (slice(None), ahead)),
    ):
        part, other = numbers[rows], mask[others]
        touching = (part > 0) & (other != index)
        touches[part[touching], other[touching]] = True
    return touches[:, :num_classes].sum(axis=1)


def choose(parts: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return so many parts in random order, of different images as far as there are."""
    mixed = parts.iloc[rng.permutation(len(parts))]
    # Second parts of an image come after the first of all others.
    turn = mixed.groupby("row").cumcount()
    return mixed.iloc[np.argsort(turn.to_numpy(), kind="stable")].head(number)
