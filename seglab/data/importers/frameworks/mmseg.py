"""Folders as mmsegmentation's `BaseSegDataset` reads them: `img_dir/{train,val}` and `ann_dir/{train,val}`.

A mask has its image's name with `seg_map_suffix` in place of `img_suffix`; where there are lists
(`ann_file`), a line is that name without suffix. Values are class indices and 255 does not count; with
`reduce_zero_label` 0 does not count either, and raw k is class k - 1.

References:
    mmsegmentation, customise datasets:
        https://mmsegmentation.readthedocs.io/en/latest/advanced_guides/add_datasets.html
    mmsegmentation 1.2.2, what is read and how:
        https://github.com/open-mmlab/mmsegmentation/blob/v1.2.2/mmseg/datasets/basesegdataset.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from seglab.core.errors import ConfigError, DataNotFoundError
from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.core.text.option_words import option_name, option_word
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.build.splitting import group_by_pattern
from seglab.data.importers.ids.inference import require_published_form
from seglab.data.importers.ids.mask_survey import survey_values
from seglab.data.importers.layout import find_base, holding
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import MmsegOptions
from seglab.data.importers.pairing import FOLDER_SPLITS, composed

_IGNORED = 255


@takes(MmsegOptions, "data.options")
def import_mmseg(root: Path, *, chosen: MmsegOptions) -> ImportedFiles:
    """Find the images of each split, and the mask each should have.

    Args:
        root: `data_root`: what `images`, `masks` and `lists` count from.
        chosen: The fields of `MmsegOptions`, each given by its name.

    Returns:
        Splits train, val and test, as far as they are there; test images without masks are
        `unlabeled`.

    Raises:
        ConfigError: The class names are not given, or lists are needed.
        DataNotFoundError: There is no training split, or a split without an image of the suffix.
    """
    if "{split}" not in chosen.images and chosen.lists is None:
        raise ConfigError(
            f"{option_name('images')}: {chosen.images} is one folder for all splits; give lists too, such "
            f"as {option_word('lists', 'splits/{split}.txt')}, or {option_word('images', 'img_dir/{split}')}"
        )
    fixed = [Path(place).parts[0] for place in (chosen.images, chosen.masks)]
    base = find_base(root, [name for name in fixed if "{" not in name])
    listing = Listing(base)
    notes: list[str] = []
    found: list[tuple[str, str, str]] = []
    for spelled, split in FOLDER_SPLITS.items():
        names = _names(listing, chosen, spelled)
        found += [(spelled, split, name) for name in names or ()]
    present = Counter(split for _, split, _ in found)
    if not present["train"]:
        places = chosen.lists or chosen.images
        raise DataNotFoundError(
            f"no training images: expected {places.format(split='train')} (or training) in {base}; "
            f"{holding(base)}"
        )
    notes += [f"no {split} split" for split in ("val", "test") if not present[split]]
    samples = list(_samples(base, found, chosen))
    hidden = sum(one.split == "unlabeled" for one in samples) - present["unlabeled"]
    notes += [f"{hidden} test images have no mask and are unlabeled"] if hidden else []
    for folder in {base / chosen.masks.format(split=spelled) for spelled, _, _ in found}:
        if folder.is_dir():
            listing.watch(folder)
    masks = [one.mask for one in samples if one.mask is not None]
    labels = _labels(masks, chosen)
    require_published_form(masks)
    read = "0 does not count, raw k is class k - 1" if chosen.reduce_zero_label else "class indices"
    return ImportedFiles(
        samples,
        labels,
        notes=notes + listing.notes(),
        sources=listing.sources,
        mask_values=f"mask values as mmsegmentation reads them: {read}, 255 does not count",
    )


def _names(listing: Listing, chosen: MmsegOptions, spelled: str) -> list[str] | None:
    """Return the names of a split below its images folder, without suffix; None: there is no such split.

    Raises:
        DataNotFoundError: Its folder has no image of the suffix.
    """
    if chosen.lists is not None:
        file = chosen.lists.format(split=spelled)
        return listing.lines(file) if listing.has(file) else None
    place = chosen.images.format(split=spelled)
    folder = listing.base / place
    paths = listing.images(place)
    if not folder.is_dir():
        return None
    names = [path.relative_to(folder).as_posix() for path in paths]
    fitting = [name for name in names if name.endswith(chosen.img_suffix)]
    if not fitting:
        endings = sorted({Path(name).suffix for name in names})
        there = f"its {len(names)} images end in {', '.join(endings)}" if names else holding(folder)
        raise DataNotFoundError(
            f"{folder} holds no image that ends in {chosen.img_suffix}; {there}. Give what the "
            "data set's class has, such as img_suffix=.png"
        )
    return [name[: -len(chosen.img_suffix)] for name in fitting]


def _samples(
    base: Path, found: Sequence[tuple[str, str, str]], chosen: MmsegOptions
) -> Iterator[SampleFiles]:
    keys = [composed(f"{spelled}/{name}") for spelled, _, name in found]
    groups = group_by_pattern(keys, chosen.group_pattern)
    for (spelled, split, name), key, group in zip(found, keys, groups, strict=True):
        image = base / chosen.images.format(split=spelled) / f"{name}{chosen.img_suffix}"
        mask = base / chosen.masks.format(split=spelled) / f"{name}{chosen.seg_map_suffix}"
        if split == "unlabeled" or (split == "test" and not mask.is_file()):
            yield SampleFiles(key, image, None, "unlabeled", group)
        else:
            yield SampleFiles(key, image, mask, split, group)


def _labels(masks: Sequence[Path], chosen: MmsegOptions) -> LabelSpace:
    if chosen.class_names is None:
        raise ConfigError(
            f"{option_name('class_names')}: mmsegmentation has the names in METAINFO['classes'] of the data "
            "set's class, not in the folder; give them in that order, such as "
            f"class_names=[background,road]. The masks hold {survey_values(masks).table()}"
        )
    first = int(chosen.reduce_zero_label)
    raw_ids = {index + first: index for index in range(len(chosen.class_names))}
    raw_ids |= {0: _IGNORED} if chosen.reduce_zero_label else {}
    raw_ids[_IGNORED] = _IGNORED
    return LabelSpace(tuple(chosen.class_names), tuple(chosen.palette or ()), raw_ids, _IGNORED)
