"""Any data set that is two folders, or two patterns, of images and masks.

Splits come from list files, from folders called train, val and test, or from shares that keep
groups whole. What cannot be known is inferred from the masks and said in the notes.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Sequence
from pathlib import Path

from seglab.core.errors import ConfigError, DataError, DataNotFoundError, list_problems, nearest
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.build.drawn_splits import Draw
from seglab.data.build.splitting import group_by_pattern, split_groups
from seglab.data.importers.ids.inference import label_space
from seglab.data.importers.ids.label_options import LabelOptions
from seglab.data.importers.layout import find_base, images_elsewhere, locate
from seglab.data.importers.listing import Listing, is_pattern
from seglab.data.importers.mask_names import masks_called_otherwise
from seglab.data.importers.options import FolderOptions
from seglab.data.importers.pairing import (
    FOLDER_SPLITS,
    MASK_FIELDS,
    Entry,
    composed,
    key_of,
    pair_masks,
)
from seglab.data.manifest import SPLITS


@takes(FolderOptions, "data.options")
def import_folder(root: Path, *, chosen: FolderOptions) -> ImportedFiles:
    """Pair images with masks, and give each pair a split and a group.

    Args:
        root: Folder everything lies under.
        chosen: The fields of `FolderOptions`, each given by its name.

    Raises:
        ConfigError: Options contradict each other.
        DataNotFoundError: No images, no mask folder, or listed names that match no image.
        LabelError: What the values in the masks mean is not certain.
        DataError: Names or groups are ambiguous; no mask tells the classes.
    """
    label_options = LabelOptions.parse(chosen)
    _check_places(root, chosen.images, chosen.masks, chosen.lists)
    root = _root_of(root, chosen.images)
    listing = Listing(root)
    notes: list[str] = []
    entries = _find_images(listing, chosen.images)
    rule = _choose_rule(listing, entries, chosen.split, chosen.lists)
    if chosen.split == "auto":
        notes.append(f"splits taken from {rule}")
    if rule == "lists":
        entries = _apply_lists(listing, entries, chosen.lists, notes)
    elif rule == "folders":
        entries = [dataclasses.replace(e, split=_folder_split(root, e)) for e in entries]
    if chosen.masks is not None:
        entries = _pair(listing, entries, chosen, chosen.masks, notes)
    else:
        entries = [dataclasses.replace(entry, mask=None) for entry in entries]
    keys = [entry.key for entry in entries]
    groups = group_by_pattern(keys, chosen.group_pattern)
    draw = None
    if rule == "fractions":
        shares = {"val": chosen.val_fraction, "test": chosen.test_fraction}
        draw = Draw(split_groups, shares, chosen.seed)
        entries = _draw(entries, groups, draw)
    samples = [
        _sample(entry, group, chosen.allow_unlabeled or chosen.masks is None)
        for entry, group in zip(entries, groups, strict=True)
    ]
    mask_files = [sample.mask for sample in samples if sample.mask is not None]
    labels, mask_values, inferred = label_space(mask_files, label_options)
    notes += listing.notes() + inferred
    return ImportedFiles(
        samples, labels, chosen.mask_encoding, notes, listing.sources, mask_values, draw=draw
    )


def _root_of(root: Path, images: str) -> Path:
    """Return the root; where its folder of images is called otherwise, the message says which are there."""
    try:
        return find_base(root, [] if is_pattern(images) else [images])
    except DataNotFoundError as error:
        otherwise = images_elsewhere(root.expanduser().absolute(), images)
        if otherwise is None:
            raise
        raise DataNotFoundError(otherwise) from error


def _pair(
    listing: Listing, entries: list[Entry], chosen: FolderOptions, masks: str, notes: list[str]
) -> list[Entry]:
    """Give each image its mask; refuse where most are found under another name alone."""
    try:
        paired = pair_masks(listing, entries, masks, notes)
    except DataNotFoundError as error:
        otherwise = masks_called_otherwise(listing.root, entries, masks)
        if otherwise is None:
            raise
        raise DataNotFoundError(f"{error}\n{otherwise}") from error
    otherwise = masks_called_otherwise(listing.root, paired, masks)
    if otherwise is not None and not chosen.allow_unlabeled:
        raise DataNotFoundError(otherwise)
    notes += [] if otherwise is None else [otherwise]
    return paired


def _find_images(listing: Listing, images: str) -> list[Entry]:
    found = listing.images(images)
    anchor = listing.root / images
    if anchor.is_file():
        anchor = anchor.parent
    if not anchor.exists():
        fixed = itertools.takewhile(lambda part: not is_pattern(part), Path(images).parts)
        anchor = listing.root.joinpath(*fixed)
    if not found:
        skipped = "".join(f"; {note}" for note in listing.notes())
        raise DataNotFoundError(
            f"no image files in {listing.root / images}{skipped}; check the option 'images'"
        )
    return [Entry(key_of(path, anchor), path) for path in found]


def _choose_rule(listing: Listing, entries: Sequence[Entry], rule: str, lists: str) -> str:
    if rule != "auto":
        return rule
    # All are asked for, so that any is noticed when it comes.
    there = [listing.has(lists.format(split=split)) for split in SPLITS]
    if any(there):
        return "lists"
    in_folders = all(len(_split_folders(listing.root, entry)) == 1 for entry in entries)
    return "folders" if in_folders else "fractions"


def _split_folders(root: Path, entry: Entry) -> set[str]:
    folders = entry.image.relative_to(root).parts[:-1]
    return {FOLDER_SPLITS[name.lower()] for name in folders if name.lower() in FOLDER_SPLITS}


def _folder_split(root: Path, entry: Entry) -> str:
    found = sorted(_split_folders(root, entry))
    if len(found) != 1:
        raise DataError(
            f"{entry.image}: expected one folder called train, val, test or unlabeled on its path, "
            f"found {', '.join(found) or 'none'}; use split=lists or split=fractions"
        )
    return found[0]


def _apply_lists(
    listing: Listing, entries: Sequence[Entry], lists: str, notes: list[str]
) -> list[Entry]:
    root = listing.root
    files = {split: lists.format(split=split) for split in SPLITS}
    files = {split: file for split, file in files.items() if listing.has(file)}
    if not files:
        raise DataNotFoundError(
            f"no list files {lists.format(split='train')} (or val, test, unlabeled) in {root}"
        )
    by_name = _names(root, entries)
    chosen: list[Entry] = []
    problems = []
    for split, file in files.items():
        for listed, mask in listing.pairs(file):
            matches = by_name.get(composed(listed.removeprefix("/")), [])
            if not matches and mask is not None:
                image = root / locate(root, listed)
                matches = by_name.get(composed(image.relative_to(root).as_posix()), [])
                matches = matches or [Entry(key_of(image, root), image)]
            if len(matches) != 1:
                what = "no image" if not matches else f"{len(matches)} images"
                problems.append(f"{Path(file).name}: {listed!r} matches {what}")
                continue
            mask_file = None if mask is None else root / locate(root, mask)
            chosen.append(dataclasses.replace(matches[0], mask=mask_file, split=split))
    if problems:
        raise DataNotFoundError(list_problems(f"list files in {root}", problems, len(problems)))
    left = len({entry.image for entry in entries} - {entry.image for entry in chosen})
    if left:
        notes.append(f"{left} images are in no list and left out")
    return chosen


def _names(root: Path, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries by everything a list may call them."""
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        relative = entry.image.relative_to(root)
        names = (
            entry.key,
            entry.image.name,
            entry.image.stem,
            relative.as_posix(),
            relative.with_suffix("").as_posix(),
        )
        for name in set(map(composed, names)):
            by_name.setdefault(name, []).append(entry)
    return by_name


def _check_places(root: Path, images: str, masks: str | None, lists: str) -> None:
    """Refuse options whose places are not below the root or whose fields nobody fills in."""
    root = root.expanduser().absolute()
    # What fields of a pattern of masks lead to is looked at file by file.
    begins = (masks or "").partition("{")[0]
    outside = {
        option: place
        for option, place in {"images": images, "lists": lists, "masks": begins}.items()
        if ".." in Path(place).parts or not (root / place).is_relative_to(root)
    }
    problems = [
        f"option {option!r} is a place below the root {root}, got "
        f"{masks if option == 'masks' else place!r}; make the folder that holds all of them the root"
        for option, place in outside.items()
    ]
    problems += _unknown_fields("lists", lists, ("split",))
    problems += _unknown_fields("masks", masks or "", MASK_FIELDS)
    if problems:
        raise ConfigError(problems)


def _unknown_fields(option: str, pattern: str, known: Sequence[str]) -> list[str]:
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        return [f"option {option!r} {pattern!r} is no pattern: {error}"]
    return [
        f"option {option!r} has no field {{{name}}}{nearest(name, known)}; "
        f"fields are {', '.join(known)}"
        for name in found
        if name not in known
    ]


def _draw(entries: Sequence[Entry], groups: Sequence[str], draw: Draw) -> list[Entry]:
    """Split the entries that have a mask; the others wait for `_sample` to judge them."""
    labelled = [index for index, e in enumerate(entries) if e.mask is not None and e.mask.is_file()]
    drawn = list(entries)
    if labelled:
        try:
            splits = draw.groups([groups[index] for index in labelled], draw.shares, draw.seed)
        except DataError as error:
            raise DataError(f"{error}{_unlabelled(entries, len(labelled))}") from error
        for index, name in zip(labelled, splits, strict=True):
            drawn[index] = dataclasses.replace(entries[index], split=name)
    return [entry if entry.split else dataclasses.replace(entry, split="train") for entry in drawn]


def _unlabelled(entries: Sequence[Entry], labelled: int) -> str:
    missing = [e.mask for e in entries if e.mask is not None and not e.mask.is_file()]
    if not missing:
        return ""
    return (
        f"; only {labelled} of {len(entries)} images have a mask: {missing[0]} is not there, for "
        "example"
    )


def _sample(entry: Entry, group: str, allow_unlabeled: bool) -> SampleFiles:
    absent = entry.mask is None or not entry.mask.is_file()
    if entry.split == "unlabeled" or (absent and allow_unlabeled):
        return SampleFiles(entry.key, entry.image, None, "unlabeled", group)
    return SampleFiles(entry.key, entry.image, entry.mask, entry.split, group)
