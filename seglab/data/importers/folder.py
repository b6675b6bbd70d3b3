"""Any data set that is two folders, or two patterns, of images and masks.

Splits come from list files, from folders called train, val and test, or from shares that keep
groups whole. What cannot be known is inferred from the masks and said in the notes.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.core.errors import ConfigError, DataError, DataNotFoundError, list_problems, nearest
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.inference import label_space
from seglab.data.importers.label_options import LabelOptions
from seglab.data.importers.layout import check_choice, find_base, locate
from seglab.data.importers.listing import Listing, is_pattern
from seglab.data.importers.splitting import group_by_pattern, split_groups
from seglab.data.manifest import MASK_ENCODINGS, SPLITS

_SPLIT_RULES = ("auto", "lists", "folders", "fractions")
_FOLDER_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test", "unlabeled": "unlabeled", "unlabelled": "unlabeled",
}  # fmt: skip
_MASK_FIELDS = ("stem", "name", "key", "folder", "split")


@dataclass(frozen=True)
class _Entry:
    """An image on its way to a sample; `key` is its path below the images folder, no suffix."""

    key: str
    image: Path
    mask: Path | None = None
    split: str = ""


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
        entries = _pair_masks(listing, entries, masks, notes)
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


def _find_images(listing: Listing, images: str) -> list[_Entry]:
    found = listing.images(images)
    anchor = listing.root / images
    if not anchor.exists():
        fixed = itertools.takewhile(lambda part: not is_pattern(part), Path(images).parts)
        anchor = listing.root.joinpath(*fixed)
    if not found:
        skipped = "".join(f"; {note}" for note in listing.notes())
        raise DataNotFoundError(
            f"no image files in {listing.root / images}{skipped}; check the option 'images'"
        )
    return [_Entry(_key(path, anchor), path) for path in found]


def _key(path: Path, anchor: Path) -> str:
    return _composed(path.relative_to(anchor).with_suffix("").as_posix())


def _composed(name: str) -> str:
    """Return a file name in the form (NFC) in which one name is one text on every system."""
    return unicodedata.normalize("NFC", name)


def _choose_rule(listing: Listing, entries: Sequence[_Entry], rule: str, lists: str) -> str:
    if rule != "auto":
        return rule
    # All are asked for, so that any is noticed when it comes.
    there = [listing.has(lists.format(split=split)) for split in SPLITS]
    if any(there):
        return "lists"
    in_folders = all(len(_split_folders(listing.root, entry)) == 1 for entry in entries)
    return "folders" if in_folders else "fractions"


def _split_folders(root: Path, entry: _Entry) -> set[str]:
    folders = entry.image.relative_to(root).parts[:-1]
    return {_FOLDER_SPLITS[name.lower()] for name in folders if name.lower() in _FOLDER_SPLITS}


def _folder_split(root: Path, entry: _Entry) -> str:
    found = sorted(_split_folders(root, entry))
    if len(found) != 1:
        raise DataError(
            f"{entry.image}: expected one folder called train, val, test or unlabeled on its path, "
            f"found {', '.join(found) or 'none'}; use split=lists or split=fractions"
        )
    return found[0]


def _apply_lists(
    listing: Listing, entries: Sequence[_Entry], lists: str, notes: list[str]
) -> list[_Entry]:
    root = listing.root
    files = {split: lists.format(split=split) for split in SPLITS}
    files = {split: file for split, file in files.items() if listing.has(file)}
    if not files:
        raise DataNotFoundError(
            f"no list files {lists.format(split='train')} (or val, test, unlabeled) in {root}"
        )
    by_name = _names(root, entries)
    chosen: list[_Entry] = []
    problems = []
    for split, file in files.items():
        for listed, mask in listing.pairs(file):
            matches = by_name.get(_composed(listed.removeprefix("/")), [])
            if not matches and mask is not None:
                image = root / locate(root, listed)
                matches = by_name.get(_composed(image.relative_to(root).as_posix()), [])
                matches = matches or [_Entry(_key(image, root), image)]
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


def _names(root: Path, entries: Sequence[_Entry]) -> dict[str, list[_Entry]]:
    """Return the entries by everything a list may call them."""
    by_name: dict[str, list[_Entry]] = {}
    for entry in entries:
        relative = entry.image.relative_to(root)
        names = (
            entry.key, entry.image.name, entry.image.stem, relative.as_posix(),
            relative.with_suffix("").as_posix(),
        )  # fmt: skip
        for name in set(map(_composed, names)):
            by_name.setdefault(name, []).append(entry)
    return by_name


def _pair_masks(
    listing: Listing, entries: Sequence[_Entry], masks: str, notes: list[str]
) -> list[_Entry]:
    """Set the mask each image should have; whether it exists is seen later, for all at once."""
    root = listing.root
    if "{" in masks:
        _check_fields(masks)
        filled = [
            entry if entry.mask else dataclasses.replace(entry, mask=_fill(root, entry, masks))
            for entry in entries
        ]
        # Masks that come later are to be noticed.
        for folder in {e.mask.parent for e in filled if e.mask and not e.mask.is_file()}:
            listing.watch(folder)
        return filled
    if all(entry.mask for entry in entries):
        return list(entries)
    folder = find_base(root, [masks]) / masks
    by_key: dict[str, list[Path]] = {}
    for path in listing.images(masks):
        for key in {_key(path, folder), _composed(path.stem)}:
            by_key.setdefault(key, []).append(path)
    paired: list[_Entry] = []
    problems = []
    for entry in entries:
        found = by_key.get(entry.key) or by_key.get(_composed(entry.image.stem)) or []
        if len(found) > 1:
            problems.append(f"{entry.key}: {', '.join(path.name for path in found)}")
        mask = entry.mask or (found[0] if found else folder / f"{entry.key}.png")
        paired.append(dataclasses.replace(entry, mask=mask))
    if problems:
        title = (
            f"several masks fit one image in {folder}; give a pattern such as 'masks/{{key}}.png'"
        )
        raise DataError(list_problems(title, problems))
    unused = {path for paths in by_key.values() for path in paths} - {e.mask for e in paired}
    if unused:
        notes.append(f"{len(unused)} masks in {masks} belong to no image and are left out")
    return paired


def _check_fields(pattern: str) -> None:
    try:
        fields = [
            field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None
        ]
    except ValueError as error:
        raise ConfigError(f"option 'masks' {pattern!r} is no pattern: {error}") from error
    problems = [
        f"option 'masks' has no field {{{field}}}{nearest(field, _MASK_FIELDS)}; "
        f"fields are {', '.join(_MASK_FIELDS)}"
        for field in fields
        if field not in _MASK_FIELDS
    ]
    if problems:
        raise ConfigError(problems)


def _fill(root: Path, entry: _Entry, pattern: str) -> Path:
    relative = entry.image.relative_to(root)
    # The split as the folder spells it (`training`), which is how the mask's folder spells it too.
    spelled = [part for part in relative.parts[:-1] if part.lower() in _FOLDER_SPLITS]
    return root / pattern.format(
        stem=entry.image.stem,
        name=entry.image.name,
        key=entry.key,
        folder=relative.parent.as_posix(),
        split=spelled[0] if spelled else entry.split,
    )


def _draw(
    entries: Sequence[_Entry], groups: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[_Entry]:
    """Split the entries that have a mask; the others wait for `_sample` to judge them."""
    labelled = [index for index, e in enumerate(entries) if e.mask is not None and e.mask.is_file()]
    drawn = list(entries)
    if labelled:
        splits = split_groups([groups[index] for index in labelled], shares, seed)
        for index, name in zip(labelled, splits, strict=True):
            drawn[index] = dataclasses.replace(entries[index], split=name)
    return [entry if entry.split else dataclasses.replace(entry, split="train") for entry in drawn]


def _sample(entry: _Entry, group: str, allow_unlabeled: bool) -> SampleFiles:
    absent = entry.mask is None or not entry.mask.is_file()
    if entry.split == "unlabeled" or (absent and allow_unlabeled):
        return SampleFiles(entry.key, entry.image, None, "unlabeled", group)
    return SampleFiles(entry.key, entry.image, entry.mask, entry.split, group)
