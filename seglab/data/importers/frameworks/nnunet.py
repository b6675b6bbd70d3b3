"""Data sets of nnU-Net (Isensee et al., 2021), version 1 and 2: `dataset.json`, imagesTr, labelsTr, imagesTs.

An image is a file a channel (`CASE_0000.png`, `CASE_0001.png`, ...), or one of all colours; the mask is
`labelsTr/CASE.png`. A case of several files is stacked, in the order of their numbers, into one array below
the root, for a sample is one file here. Values mean what `labels` says; `ignore` does not count. Regions
are classes where they do not overlap. Volumes (`.nii.gz` and others) are not read.

References:
    Isensee et al. (2021): https://doi.org/10.1038/s41592-020-01008-z
    Format: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seglab.annotations.reading import parse_json
from seglab.core.disk.files import hash_json
from seglab.core.errors import ConfigError, DataError, DataNotFoundError, LabelError, list_problems
from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.core.text.option_words import option_name, option_word
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.build.drawn_splits import Draw
from seglab.data.build.splitting import group_by_pattern, split_groups
from seglab.data.importers.frameworks.nnunet_cases import find_cases, one_image, require_channels
from seglab.data.importers.ids.inference import require_published_form
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import NnunetOptions

_JSON, _IGNORE, _IGNORED = "dataset.json", "ignore", 255


@takes(NnunetOptions, "data.options")
def import_nnunet(root: Path, *, chosen: NnunetOptions) -> ImportedFiles:
    """Find the cases of a data set of nnU-Net.

    Args:
        root: Folder of `dataset.json`, such as `nnUNet_raw/Dataset120_Roads`.
        chosen: The fields of `NnunetOptions`, each given by its name.

    Returns:
        Splits train and val from imagesTr; test where labelsTs has the mask of a case of imagesTs, whose
        other cases are `unlabeled`.

    Raises:
        DataNotFoundError: The folders, or files of channels, are not there; all are named.
        DataError: The images are volumes, or have other channels than `dataset.json` says.
        LabelError: Its regions overlap.
        ConfigError: There is no such fold.
    """
    base = find_base(root, [_JSON])
    listing = Listing(base)
    listing.has(_JSON)
    told = parse_json((base / _JSON).read_bytes(), str(base / _JSON))
    if not isinstance(told, dict):
        raise DataError(f"{base / _JSON}: expected channel_names and labels, got {told!r:.80}")
    labels = _label_space(chosen.labels or told.get("labels"), base / _JSON)
    cases = find_cases(listing, told)
    require_channels(cases, told.get("channel_names") or told.get("modality") or {}, base / _JSON)
    notes: list[str] = []
    names = [case.name for case in cases]
    groups = dict(zip(names, group_by_pattern(names, chosen.group_pattern), strict=True))
    labelled = {case.name: groups[case.name] for case in cases if case.labelled}
    splits = _splits(labelled, listing, chosen, notes)
    folder = base / chosen.stacked / f"nnunet-{hash_json(chosen.to_dict())[:8]}"
    samples = []
    for case in cases:
        if case.labelled and case.name not in splits:
            continue
        mask = case.mask if case.labelled or case.mask.is_file() else None
        split = splits[case.name] if case.labelled else "test" if mask else "unlabeled"
        image = one_image(case, folder, listing)
        samples.append(SampleFiles(case.name, image, mask, split, groups[case.name]))
    require_published_form([one.mask for one in samples if one.mask is not None])
    stacks = sum(len(case.files) > 1 for case in cases)
    notes += [f"{stacks} cases of several files are stacked in {folder}"] if stacks else []
    notes += listing.notes()
    meaning = ", ".join(f"{v} is {_name(i, labels)}" for v, i in labels.raw_ids.items())
    return ImportedFiles(
        samples,
        labels,
        notes=notes,
        sources=listing.sources,
        mask_values=f"mask values as in {_JSON}: {meaning}",
        draw=None if listing.has(chosen.splits) else _draw(chosen),
    )


def _name(index: int, labels: LabelSpace) -> str:
    return "ignored" if index == labels.ignore_index else labels.class_names[index]


def _label_space(told: Any, file: Path) -> LabelSpace:
    """Return the classes, in the order of their lowest values.

    Raises:
        DataError: There are no labels, or they are not as nnU-Net has them.
        LabelError: Regions overlap.
    """
    if not isinstance(told, Mapping) or not told:
        raise DataError(
            f"{file}: expected labels such as {{background: 0, road: 1}}, got {told!r:.80}"
        )
    values = dict(_values(told, file))
    owners: dict[int, list[str]] = {}
    for name, numbers in values.items():
        for number in numbers:
            owners.setdefault(number, []).append(name)
    shared = [f"{v} is {' and '.join(names)}" for v, names in owners.items() if len(names) > 1]
    if shared:
        raise LabelError(
            list_problems(f"{file}: labels are regions that overlap", shared)
            + "\na pixel has one class here: give every value its own name with "
            + option_word("labels", "{background: 0, NAME: 1, ...}")
        )
    names = sorted((name for name in values if name != _IGNORE), key=lambda name: values[name][0])
    raw_ids = {value: index for index, name in enumerate(names) for value in values[name]}
    raw_ids |= dict.fromkeys(values.get(_IGNORE, ()), _IGNORED)
    return LabelSpace(tuple(names), (), dict(sorted(raw_ids.items())), _IGNORED)


def _values(told: Mapping[Any, Any], file: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield name and values; version 1 has them the other way round: `"1": "road"`."""
    reverse = all(isinstance(name, str) and not name.isdecimal() for name in told.values())
    for key, content in told.items():
        name, given = (str(content), key) if reverse else (str(key), content)
        numbers = given if isinstance(given, list | tuple) and given else [given]
        try:
            yield name, sorted({int(number) for number in numbers})
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{file}: labels: {name}: expected the value in the masks, or a list of values, got "
                f"{given!r:.80}"
            ) from error


def _splits(
    groups: Mapping[str, str], listing: Listing, chosen: NnunetOptions, notes: list[str]
) -> dict[str, str]:
    """Return the split of each training case, given its group; what is in no fold is left out."""
    if not listing.has(chosen.splits):
        draw = _draw(chosen)
        drawn = draw.groups(list(groups.values()), draw.shares, draw.seed)
        return dict(zip(groups, drawn, strict=True))
    file = listing.base / chosen.splits
    fold = _fold(parse_json(file.read_bytes(), str(file)), chosen.fold, file)
    gone = [f"{split}: {name}" for split in fold for name in fold[split] if name not in groups]
    if gone:
        raise DataNotFoundError(list_problems(f"{file}: cases that are not in imagesTr", gone))
    splits = {name: split for split in fold for name in fold[split]}
    notes.append(f"train and val are fold {chosen.fold} of {chosen.splits}")
    if left := len(groups.keys() - splits.keys()):
        notes.append(f"{left} cases are not in that fold and left out")
    return splits


def _draw(chosen: NnunetOptions) -> Draw:
    return Draw(split_groups, {"val": chosen.val_fraction}, chosen.seed)


def _fold(content: Any, number: int, file: Path) -> dict[str, list[str]]:
    try:
        folds = [{split: list(one[split]) for split in ("train", "val")} for one in content]
    except (TypeError, KeyError, IndexError) as error:
        raise DataError(f"{file}: expected a list of folds, each with train and val") from error
    if number >= len(folds):
        raise ConfigError(
            f"{option_name('fold')}: {file} has {len(folds)} folds, counted from 0, got {number}"
        )
    return folds[number]
