"""What differs between two versions of a manifest, down to the pixels of their masks.

Samples are matched by `sample_id`. Files differ by their SHA-256; where the meaning of the masks changed
too, all masks are read. Pixels are told by names of classes, so that numbers may move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.files.image_files import read_bytes
from seglab.data.files.masks import decode_mask
from seglab.data.manifest import Manifest

VOID = "void"
COLUMNS = ("split", "group", "keep", "tags", "flags", "annotator")
Moves = Counter[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class MaskChange:
    """One mask that changed.

    Args:
        sample_id: Of which sample.
        moves: (name before, name now) -> pixels; only what changed.
        unknown: Why the pixels cannot be told; empty where they can.
    """

    sample_id: str
    moves: Moves
    unknown: str = ""

    @property
    def pixels(self) -> int:
        """Pixels that changed."""
        return sum(self.moves.values())


@dataclass(frozen=True, eq=False)
class Changes:
    """What differs between two versions.

    Args:
        former: One version.
        now: The other.
        added: Samples of the other alone.
        removed: Samples of the one alone.
        images: Samples whose image is another file or has another content.
        masks: Masks that changed, came or went.
        columns: Column -> sample -> what it was and is.
        labels: In words, what of the label space differs.
    """

    former: Manifest
    now: Manifest
    added: list[str]
    removed: list[str]
    images: list[str]
    masks: list[MaskChange]
    columns: dict[str, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        parts = (self.added, self.removed, self.images, self.masks, self.columns, self.labels)
        return any(map(bool, parts))

    @property
    def moves(self) -> Moves:
        """Pixels of all masks together."""
        return sum((one.moves for one in self.masks), Counter())

    def content(self) -> dict[str, Any]:
        """Return everything as plain content."""
        return {
            "former": self.former.fingerprint,
            "now": self.now.fingerprint,
            "added": self.added,
            "removed": self.removed,
            "images": self.images,
            "masks": [
                {
                    "sample_id": one.sample_id,
                    "pixels": one.pixels,
                    "moves": _listed(one.moves),
                    "unknown": one.unknown or None,
                }
                for one in self.masks
            ],
            "moves": _listed(self.moves),
            "columns": {
                name: {key: list(pair) for key, pair in found.items()}
                for name, found in self.columns.items()
            },
            "labels": self.labels,
        }


def _listed(moves: Moves) -> list[dict[str, Any]]:
    return [
        {"from": old, "to": new, "pixels": pixels} for (old, new), pixels in moves.most_common()
    ]


def compare(former: Manifest, now: Manifest) -> Changes:
    """Return what differs between two versions; reads the masks that changed, once each."""
    old = former.table.set_index("sample_id", drop=False)
    new = now.table.set_index("sample_id", drop=False)
    common = old.index.intersection(new.index).sort_values()
    before, after = old.loc[common], new.loc[common]
    names = [str(name) for name in common]

    def differ(column: str) -> np.ndarray:
        pairs = zip(before[column].tolist(), after[column].tolist(), strict=True)
        return np.array([one != other for one, other in pairs], dtype=bool)

    columns = {}
    for column in COLUMNS:
        places = np.flatnonzero(differ(column))
        if len(places):
            pairs = (before[column].to_numpy(object), after[column].to_numpy(object))
            columns[column] = {names[k]: (pairs[0][k], pairs[1][k]) for k in places}
    labels = _label_changes(former, now)
    changed = _files_differ(differ, before, after, "mask", "mask_sha256")
    if labels:
        changed |= before["mask"].notna().to_numpy() & after["mask"].notna().to_numpy()
    rows = [
        part.iloc[np.flatnonzero(changed)].to_dict(orient="records") for part in (before, after)
    ]
    found = [
        _mask_change(
            former, now, *({str(key): value for key, value in row.items()} for row in pair)
        )
        for pair in zip(*rows, strict=True)
    ]
    images = np.flatnonzero(_files_differ(differ, before, after, "image", "sha256"))
    return Changes(
        former,
        now,
        sorted(map(str, new.index.difference(old.index))),
        sorted(map(str, old.index.difference(new.index))),
        [names[k] for k in images],
        [one for one in found if one.pixels or one.unknown],
        columns,
        labels,
    )


def _files_differ(differ: Any, before: Any, after: Any, file: str, digest: str) -> np.ndarray:
    """Return which files differ: by content where both are known, else by path."""
    known = (before[digest].notna() & after[digest].notna()).to_numpy()
    return np.where(known, differ(digest), differ(file))


def _label_changes(former: Manifest, now: Manifest) -> list[str]:
    old, new = former.labels, now.labels
    found = []
    if old.class_names != new.class_names:
        found.append(
            f"classes were {', '.join(old.class_names)} and are {', '.join(new.class_names)}"
        )
    elif (old.to_dict(), former.mask_encoding) != (new.to_dict(), now.mask_encoding):
        found.append("the meaning of the mask values, or the palette, changed")
    return found


def _mask_change(
    former: Manifest, now: Manifest, before: dict[str, Any], after: dict[str, Any]
) -> MaskChange:
    try:
        old, new = masks_of(former, now, before, after)
    except DataError as error:
        return MaskChange(str(after["sample_id"]), Counter(), str(error))
    names = _names(former.labels)
    other = _names(now.labels)
    pairs, counts = np.unique(old.astype(np.int64) * 256 + new.astype(np.int64), return_counts=True)
    moves: Moves = Counter()
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        one, two = names[pair // 256], other[pair % 256]
        if one != two:
            moves[one, two] += count
    return MaskChange(str(after["sample_id"]), moves)


def masks_of(
    former: Manifest, now: Manifest, before: dict[str, Any], after: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two masks of a sample, uint8 `(H, W)`; all void where it had none.

    Raises:
        DataError: A file is gone, changed since the version was written, or of another size.
    """
    pair = [_read(former, before), _read(now, after)]
    size = next((mask.shape for mask in pair if mask is not None), (0, 0))
    filled = [
        np.full(size, manifest.labels.ignore_index, np.uint8) if mask is None else mask
        for mask, manifest in zip(pair, (former, now), strict=True)
    ]
    if filled[0].shape != filled[1].shape:
        raise DataError(f"the mask was {filled[0].shape} pixels (H, W) and is {filled[1].shape}")
    return filled[0], filled[1]


def _read(manifest: Manifest, row: dict[str, Any]) -> np.ndarray | None:
    if row["mask"] is None:
        return None
    path = manifest.path(row["mask"])
    content = read_bytes(path)
    if row["mask_sha256"] is not None and sha256_bytes(content) != row["mask_sha256"]:
        raise DataError(f"{path}: no longer the file of version {manifest.fingerprint}")
    return decode_mask(content, path, manifest.labels, manifest.mask_encoding)


def _names(labels: LabelSpace) -> dict[int, str]:
    return {**dict(enumerate(labels.class_names)), labels.ignore_index: VOID}


def changed_pixels(former: Manifest, now: Manifest, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return which pixels have a class of another name, bool `(H, W)`."""
    names, other = _names(former.labels), _names(now.labels)
    same = np.zeros((256, 256), dtype=bool)
    for one, name in names.items():
        for two, another in other.items():
            same[one, two] = name == another
    return ~same[old, new]


def in_words(changes: Changes, most: int = 10) -> Iterator[str]:
    """Yield what differs, line by line; of many samples the first are named."""
    yield from changes.labels
    for names, what in (
        (changes.added, "added"),
        (changes.removed, "removed"),
        (changes.images, "with another image"),
    ):
        if names:
            yield f"{_count(len(names), 'sample')} {what}: {_some(names, most)}"
    if changes.masks:
        total = sum(one.pixels for one in changes.masks)
        yield f"{_count(len(changes.masks), 'mask')} changed, {total:,} pixels:"
        images = Counter(pair for one in changes.masks for pair in one.moves)
        for (old, new), pixels in changes.moves.most_common():
            where = _count(images[old, new], "mask")
            yield f"  {old} -> {new}: {pixels:,} pixels in {where}"
        for one in [one for one in changes.masks if one.unknown][:most]:
            yield f"  {one.sample_id}: not compared: {one.unknown}"
    for column, found in changes.columns.items():
        kinds = Counter((_shown(old), _shown(new)) for old, new in found.values())
        yield f"{_count(len(found), 'sample')} with another {column}: {_some(list(found), most)}"
        for (old, new), count in kinds.most_common(most):
            yield f"  {old} -> {new}: {_count(count, 'sample')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
