"""Which mask belongs to which image of a folder: by a pattern, by relative path, or by stem."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.core.errors import DataError, list_problems
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing

FOLDER_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabeled"),
}
MASK_FIELDS = ("stem", "name", "key", "folder", "split")


@dataclass(frozen=True)
class Entry:
    """An image on its way to a sample; `key` is its path below the images folder, no suffix."""

    key: str
    image: Path
    mask: Path | None = None
    split: str = ""


def key_of(path: Path, anchor: Path) -> str:
    """Return the path of a file below a folder, without suffix."""
    return composed(path.relative_to(anchor).with_suffix("").as_posix())


def composed(name: str) -> str:
    """Return a file name in the form (NFC) in which one name is one text on every system."""
    return unicodedata.normalize("NFC", name)


def pair_masks(
    listing: Listing, entries: Sequence[Entry], masks: str, notes: list[str]
) -> list[Entry]:
    """Set the mask each image should have; whether it exists is seen later, for all at once.

    Args:
        listing: Lists the root.
        entries: The images; those that have a mask already keep it.
        masks: Folder, or pattern of `MASK_FIELDS`, below the root.
        notes: Gets a sentence on masks that no image has.

    Raises:
        DataError: Several masks fit one image, or several images one mask; all are named.
    """
    root = listing.root
    if "{" in masks:
        filled = [
            entry if entry.mask else dataclasses.replace(entry, mask=_fill(root, entry, masks))
            for entry in entries
        ]
        # Masks that come later are to be noticed.
        for folder in {e.mask.parent for e in filled if e.mask and not e.mask.is_file()}:
            if folder.is_relative_to(root):
                listing.watch(folder)
        return filled
    if all(entry.mask for entry in entries):
        return list(entries)
    folder = find_base(root, [masks]) / masks
    paired, unused = _match_masks(listing.images(masks), entries, folder)
    if unused:
        notes.append(f"{unused} masks in {masks} belong to no image and are left out")
    return paired


def _match_masks(
    masks: Sequence[Path], entries: Sequence[Entry], folder: Path
) -> tuple[list[Entry], int]:
    """Return the entries with their masks, and how many masks are left.

    A mask belongs to the image of its relative path; what is left is found by stem, wherever it is.
    """
    by_key, by_stem = _grouped(masks, lambda path: key_of(path, folder)), _grouped(masks, _stem)
    owned = {mask for entry in entries for mask in by_key.get(entry.key, ())}
    paired: list[Entry] = []
    fitting: dict[Path, list[str]] = {}
    problems = []
    for entry in entries:
        loose = [mask for mask in by_stem.get(_stem(entry.image), ()) if mask not in owned]
        found = by_key.get(entry.key) or loose
        if len(found) > 1 and not entry.mask:
            problems.append(f"{entry.key}: {', '.join(path.name for path in found)}")
        mask = entry.mask or (found[0] if found else folder / f"{entry.key}.png")
        if found and not entry.mask:
            fitting.setdefault(mask, []).append(entry.key)
        paired.append(dataclasses.replace(entry, mask=mask))
    problems += [
        f"{mask.relative_to(folder)}: {', '.join(keys)}"
        for mask, keys in fitting.items()
        if len(keys) > 1 and mask not in owned
    ]
    if problems:
        title = (
            f"several masks fit one image, or several images one mask, in {folder}; give a pattern "
            "such as 'masks/{key}.png'"
        )
        raise DataError(list_problems(title, problems))
    return paired, len({*masks} - {entry.mask for entry in paired})


def _grouped(paths: Sequence[Path], name: Callable[[Path], str]) -> dict[str, list[Path]]:
    grouped: dict[str, list[Path]] = {}
    for path in paths:
        grouped.setdefault(name(path), []).append(path)
    return grouped


def _stem(path: Path) -> str:
    return composed(path.stem)


def _fill(root: Path, entry: Entry, pattern: str) -> Path:
    relative = entry.image.relative_to(root)
    # The split as the folder spells it (`training`), which is how the mask's folder spells it too.
    spelled = [part for part in relative.parts[:-1] if part.lower() in FOLDER_SPLITS]
    filled = pattern.format(
        stem=entry.image.stem,
        name=entry.image.name,
        key=entry.key,
        folder=relative.parent.as_posix(),
        split=spelled[0] if spelled else entry.split,
    )
    return Path(os.path.normpath(root / filled))
