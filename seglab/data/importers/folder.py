"""Any data set that is two folders, or two patterns, of images and masks.

Splits come from list files, from folders called train, val and test, or from shares that keep
groups whole. What cannot be known is inferred from the masks and said in the notes.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.core.errors import ConfigError, DataError, DataNotFoundError, list_problems, nearest
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.inference import label_space
from seglab.data.importers.label_options import LabelOptions
from seglab.data.importers.layout import check_choice, find_base, locate
from seglab.data.importers.listing import Listing, is_pattern
from seglab.data.importers.pairing import (
    FOLDER_SPLITS,
    MASK_FIELDS,
    Entry,
    composed,
    key_of,
    pair_masks,
)
from seglab.data.importers.splitting import group_by_pattern, split_groups
from seglab.data.manifest import MASK_ENCODINGS, SPLITS

_SPLIT_RULES = ("auto", "lists", "folders", "fractions")


def import_folder(  # noqa: PLR0913  each one is an option of the configuration
    root: Path,
    *,
    images: str = "images",
    masks: str | None = "masks",
    class_names: Sequence[str] | None = None,
    palette: Sequence[Sequence[int]] | None = None,
    mask_encoding: str = "index",
    binary: bool = False,
    raw_ids: Mapping[Any, int | str] | str | None = None,
    ignore_index: int | None = None,
    ignore_colour: Sequence[int] | None = None,
    split: str = "auto",
    lists: str = "{split}.txt",
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    group_pattern: str | None = None,
    allow_unlabeled: bool = False,
) -> ImportedFiles:
    """Pair images with masks, and give each pair a split and a group.

    Args:
        root: Folder everything lies under.
        images: Folder (searched with its sub-folders) or glob pattern below the root, such as
            `images/*.jpg` or `*/images`.
        masks: Folder, in which a mask has its image's relative path or stem; or a pattern with
            `{stem}`, `{name}`, `{key}` (path below the images folder without suffix), `{folder}`
            (the image's folder below the root) and `{split}`; None: nothing is labelled.
        class_names: Class names in index order; None: `class_0`, ... as far as the masks go.
        palette: One RGB triple a class.
        mask_encoding: `"index"` or `"colour"` (then `palette` says which colour is which class).
        binary: Masks hold 0 and 255 (or 0 and 1): background and foreground.
        raw_ids: What each raw mask value, or range as `0-127`, means: a class index or name, or
            `ignore`; names make up `class_names` in the order given. `"identity"`: values are class
            indices, and `ignore_index` is ignored. None: inferred, where only one reading fits.
        ignore_index: Value of pixels that do not count; None: 255, if the masks leave no doubt.
        ignore_colour: RGB of pixels that do not count, for `mask_encoding="colour"`; None: none,
            and black that is not in the palette is refused.
        split: `"lists"`, `"folders"`, `"fractions"`, or `"auto"`: the first of these that the data
            allows.
        lists: Name of the list files below the root; a line is `image mask`, or one name, stem, key
            or path. Images in no list are left out, which is noted.
        val_fraction: Share of samples for validation, for `"fractions"`.
        test_fraction: Share of samples for test, for `"fractions"`.
        seed: Which draw, for `"fractions"`.
        group_pattern: Regular expression that finds the group in the key; None: no groups.
        allow_unlabeled: Images without a mask become unlabeled rather than faults.

    Raises:
        ConfigError: Options contradict each other.
        DataNotFoundError: No images, no mask folder, or listed names that match no image.
        LabelError: What the values in the masks mean is not certain.
        DataError: Names or groups are ambiguous; no mask tells the classes.
    """
    check_choice(split, _SPLIT_RULES, "split")
    check_choice(mask_encoding, MASK_ENCODINGS, "mask_encoding")
    label_options = LabelOptions.parse(
        class_names, palette, raw_ids, mask_encoding, binary, ignore_index, ignore_colour
    )
    _check_places(root, images, masks, lists)
    root = find_base(root, [] if is_pattern(images) else [images])
    listing = Listing(root)
    notes: list[str] = []
    entries = _find_images(listing, images)
    rule = _choose_rule(listing, entries, split, lists)
    if split == "auto":
        notes.append(f"splits taken from {rule}")
    if rule == "lists":
        entries = _apply_lists(listing, entries, lists, notes)
    elif rule == "folders":
        entries = [dataclasses.replace(e, split=_folder_split(root, e)) for e in entries]
    if masks is not None:
        entries = pair_masks(listing, entries, masks, notes)
    else:
        entries = [dataclasses.replace(entry, mask=None) for entry in entries]
    keys = [entry.key for entry in entries]
    groups = group_by_pattern(keys, group_pattern)
    if rule == "fractions":
        entries = _draw(entries, groups, {"val": val_fraction, "test": test_fraction}, seed)
    samples = [
        _sample(entry, group, allow_unlabeled or masks is None)
        for entry, group in zip(entries, groups, strict=True)
    ]
    mask_files = [sample.mask for sample in samples if sample.mask is not None]
    labels, mask_values, inferred = label_space(mask_files, label_options)
    notes += listing.notes() + inferred
    return ImportedFiles(samples, labels, mask_encoding, notes, listing.sources, mask_values)


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
            entry.key, entry.image.name, entry.image.stem, relative.as_posix(),
            relative.with_suffix("").as_posix(),
        )  # fmt: skip
        for name in set(map(composed, names)):
            by_name.setdefault(name, []).append(entry)
    return by_name


def _check_places(root: Path, images: str, masks: str | None, lists: str) -> None:
    """Refuse options whose places are not below the root or whose fields nobody fills in."""
    root = root.expanduser().absolute()
    # What a pattern of masks leads to is looked at file by file.
    places = {"images": images, "lists": lists}
    places |= {} if masks is None or "{" in masks else {"masks": masks}
    problems = [
        f"option {option!r} is a place below the root {root}, got {place!r}; make the folder that "
        "holds all of them the root"
        for option, place in places.items()
        if ".." in Path(place).parts or not (root / place).is_relative_to(root)
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


def _draw(
    entries: Sequence[Entry], groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[Entry]:
    """Split the entries that have a mask; the others wait for `_sample` to judge them."""
    labelled = [index for index, e in enumerate(entries) if e.mask is not None and e.mask.is_file()]
    drawn = list(entries)
    if labelled:
        try:
            splits = split_groups([groups[index] for index in labelled], shares, seed)
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
