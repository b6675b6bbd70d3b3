"""What belongs together, by each source that can tell.

Photographs of one scene, patient or drive look alike. Where some are trained on and others scored, the
score tells how well the model remembers the scene, not how well it does on new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from seglab.core.errors import DataError
from seglab.data.build.splitting import group_by_pattern
from seglab.data.columns import matches, text_array
from seglab.data.folds.groups import Names, alike, column_groups
from seglab.data.remote import below
from seglab.data.splits.options import Source, SplitOptions

_NUMBERED = re.compile(r"^(?P<beginning>.*?)[\W_]*\d+$")
_NOT_A_LETTER = "".join(sign for sign in map(chr, range(128)) if not sign.isalnum())
# What PurePosixPath would write in another way, and signs that are not printed.
_ODD = r"[^ -~]|^/|//|(^|/)\.(/|$)|/$"
_EXIF_FOLDER, _TAKEN, _MADE = 0x8769, 36867, 306


def sources_of(rows: pd.DataFrame, options: SplitOptions) -> tuple[Source, ...]:
    """Return where to look: what was asked for, or what this data says something in."""
    if options.by is not None:
        return options.by
    known: list[Source] = []
    if column_groups(rows) is not None:
        known.append("column")
    elif any(name is not None for name in numbered_names(rows["sample_id"].tolist())):
        known.append("names")
    if rows["phash"].notna().any():
        known.append("near_duplicates")
    return tuple(known)


def names_by(source: Source, rows: pd.DataFrame, root: Path, options: SplitOptions) -> Names:
    """Return for each sample the name of what it belongs to, by one source.

    Args:
        source: Where to look.
        rows: Rows of a manifest.
        root: The folder of the data.
        options: Pattern, seconds, bits.

    Returns:
        One name a row; None where this source says nothing about a sample.

    Raises:
        ConfigError: The pattern is no regular expression.
        DataError: The source says nothing about any sample; the message names the others.
    """
    find: dict[Source, Callable[[], Names]] = {
        "column": lambda: _column(rows),
        "names": lambda: numbered_names(rows["sample_id"].tolist()),
        "pattern": lambda: [*group_by_pattern(rows["sample_id"].tolist(), options.pattern)],
        "time": lambda: taken_together(
            [below(root, name) for name in rows["image"]], options.seconds
        ),
        "near_duplicates": lambda: alike(rows, options.max_hash_distance),
    }
    names = find[source]()
    if all(name is None for name in names):
        raise DataError(f"by={source}: {_NOTHING[source]}; choose another source, see --help")
    return names


_NOTHING: dict[Source, str] = {
    "column": "the column `group` only repeats the sample ids",
    "names": "no two names are one beginning with different numbers",
    "pattern": "it finds no group",
    "time": "no image says in its EXIF when it was taken",
    "near_duplicates": "no sample has a perceptual hash (column `phash`); import the data again",
}


def _column(rows: pd.DataFrame) -> Names:
    groups = column_groups(rows)
    return [None] * len(rows) if groups is None else [*groups]


def numbered_names(sample_ids: Sequence[str]) -> Names:
    """Return the beginning of numbered names, such as `drive1` for `drive1_f0012`.

    Only what several samples share counts, and only where it does not hold them all.
    """
    found = _beginnings(sample_ids)
    codes, names = pd.factorize(found)
    if len(names) < 2:
        return [None] * len(found)
    # One more, for samples without a number (code -1).
    counts = np.bincount(codes + 1, minlength=len(names) + 1)[1:]
    found[(codes < 0) | (counts[codes] < 2)] = None
    return found.tolist()


def _beginnings(names: Sequence[str]) -> np.ndarray:
    """Return what stands before the number that ends a name, object `(N,)`; None: no number ends it."""
    texts = text_array(names)
    folders = pc.replace_substring_regex(texts, "[^/]*$", "")
    bare = pc.ascii_rtrim(texts, "0123456789")
    # A sign in a folder's name is not before the number, so what is left is at least the folder.
    beginnings = pc.ascii_rtrim(bare, _NOT_A_LETTER)
    within = pc.greater(pc.binary_length(beginnings), pc.binary_length(folders))
    beginnings = pc.if_else(within, beginnings, folders)
    numbered = pc.not_equal(pc.binary_length(bare), pc.binary_length(texts))
    said = pc.and_(numbered, pc.greater(pc.binary_length(beginnings), 0))
    found = pc.if_else(said, beginnings, None).to_numpy(zero_copy_only=False).copy()
    ascii_only = np.fromiter(map(str.isascii, names), bool, len(names))
    for place in np.flatnonzero(matches(texts, _ODD) | ~ascii_only).tolist():
        found[place] = _beginning_of_path(names[place])
    return found


def _beginning_of_path(name: str) -> str | None:
    path = PurePosixPath(name)
    match = _NUMBERED.match(path.name)
    folder = "" if str(path.parent) == "." else f"{path.parent}/"
    return f"{folder}{match['beginning']}" or None if match else None


def taken_together(images: Sequence[Path], seconds: float) -> Names:
    """Return the series each photograph belongs to, by when EXIF says that it was taken.

    Args:
        images: Their files; of one that cannot be read nothing is known.
        seconds: A series goes on while the next photograph comes within so many.
    """
    times = [_taken(path) for path in images]
    known = sorted((time, place) for place, time in enumerate(times) if time is not None)
    names: Names = [None] * len(images)
    former: datetime | None = None
    series = ""
    for time, place in known:
        if former is None or (time - former).total_seconds() > seconds:
            series = time.isoformat(sep=" ")
        names[place], former = series, time
    return names


def _taken(path: Path) -> datetime | None:
    from PIL import Image

    try:
        with path.open("rb") as stream, Image.open(stream) as image:
            exif = image.getexif()
            text = exif.get_ifd(_EXIF_FOLDER).get(_TAKEN) or exif.get(_MADE)
        return datetime.strptime(str(text), "%Y:%m:%d %H:%M:%S")
    except (OSError, ValueError):
        return None
