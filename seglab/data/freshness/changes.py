"""What differs between two versions of a data set, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seglab.data.manifest import Manifest

_NOUNS = {"image": ("image", "images"), "mask": ("mask", "masks")}
_HASHES = {"image": "sha256", "mask": "mask_sha256"}


def describe_changes(former: Manifest, now: Manifest) -> list[str]:
    """Return what differs between two versions: `3 masks changed`, `2 samples in another split`.

    Empty where nothing differs that a fingerprint stands for, but what was derived from the files.
    """
    changes = file_changes(former, now)
    if former.labels.class_names != now.labels.class_names:
        changes.append(
            f"classes were {', '.join(former.labels.class_names)} and are "
            f"{', '.join(now.labels.class_names)}"
        )
    elif (former.labels.to_dict(), former.mask_encoding) != (
        now.labels.to_dict(),
        now.mask_encoding,
    ):
        changes.append("the meaning of the mask values changed")
    old, new = _by_id(former), _by_id(now)
    common = old.keys() & new.keys()
    for column, words in (
        ("split", "in another split"),
        ("group", "in another group"),
        ("keep", "taken in or out"),
        ("tags", "with other tags"),
    ):
        count = sum(old[name][column] != new[name][column] for name in common)
        if count:
            changes.append(f"{_count(count, ('sample', 'samples'))} {words}")
    return changes


def file_changes(former: Manifest, now: Manifest) -> list[str]:
    """Return how many images and masks changed, came and went.

    Files are compared by path and content; the content of masks whose hash a version does not have
    by their pixels of each class.
    """
    return [text for kind in _NOUNS for text in _changes_of(kind, former, now)]


def _changes_of(kind: str, former: Manifest, now: Manifest) -> list[str]:
    old, new = _contents(kind, former), _contents(kind, now)
    counts = {
        "changed": sum(_differ(old[path], new[path]) for path in old.keys() & new.keys()),
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
    }
    return [f"{_count(count, _NOUNS[kind])} {what}" for what, count in counts.items() if count]


def _contents(kind: str, manifest: Manifest) -> dict[str, tuple[str | None, list[int]]]:
    """Return path -> hash and pixels of each class, which stand for a mask without a hash."""
    table = manifest.table
    pixels: list[list[int]] = [[]] * len(table)
    if kind == "mask":
        pixels = table["class_pixels"].tolist()
    rows = zip(table[kind], table[_HASHES[kind]], pixels, strict=True)
    return {path: (digest, counts) for path, digest, counts in rows if path is not None}


def _differ(old: tuple[str | None, list[int]], new: tuple[str | None, list[int]]) -> bool:
    if old[0] is not None and new[0] is not None:
        return old[0] != new[0]
    return old[1] != new[1]


def _by_id(manifest: Manifest) -> Mapping[str, dict[str, Any]]:
    rows = manifest.table.to_dict(orient="records")
    return {str(row["sample_id"]): {str(key): value for key, value in row.items()} for row in rows}


def _count(count: int, nouns: tuple[str, str]) -> str:
    return f"{count} {nouns[0] if count == 1 else nouns[1]}"
