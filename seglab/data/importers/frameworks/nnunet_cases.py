"""The cases of a data set of nnU-Net: which files are the channels of one, and as one image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError, DataNotFoundError, list_problems
from seglab.data.files.image_files import read_bytes
from seglab.data.files.images import decode_stored
from seglab.data.importers.layout import holding
from seglab.data.importers.listing import Listing

# Those of nnU-Net's reader of natural images; it knows no lossy ones, since masks have the same ending.
_READ = (".png", ".bmp", ".tif")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Case:
    """One image and its mask, as files.

    Attributes:
        name: Of the case, without number and ending.
        files: Those of its channels, in their order.
        mask: Where its mask is, or would be.
        labelled: Whether it is of imagesTr, so that it must have a mask.
    """

    name: str
    files: tuple[Path, ...]
    mask: Path
    labelled: bool


def find_cases(listing: Listing, told: Mapping[str, Any]) -> list[Case]:
    """Return the cases of imagesTr and imagesTs, or those that `dataset` of dataset.json names.

    Args:
        listing: Lists the root.
        told: The content of dataset.json.

    Raises:
        DataNotFoundError: There is no imagesTr, or files of channels are missing; all are named.
        DataError: The images are volumes, or names have no number of a channel.
    """
    ending = _ending(listing, told)
    cases = list(_named(listing, told["dataset"])) if told.get("dataset") else []
    for part, labelled in (("Tr", not cases), ("Ts", False)):
        if labelled or part == "Ts":
            cases += _in_folder(listing, part, ending, labelled)
    count = max((len(case.files) for case in cases), default=0)
    gone = [str(path) for case in cases for path in case.files if not path.is_file()]
    gone += [
        f"{case.files[0].parent / case.name}_{number:04}{ending}"
        for case in cases
        for number in range(len(case.files), count)
    ]
    if gone:
        raise DataNotFoundError(
            list_problems(f"cases have {count} files, one a channel, and these are missing", gone)
        )
    return cases


def _ending(listing: Listing, told: Mapping[str, Any]) -> str:
    folder = listing.base / "imagesTr"
    ending = told.get("file_ending")
    if not folder.is_dir() and not told.get("dataset"):
        raise DataNotFoundError(f"expected imagesTr in {listing.base}; {holding(listing.base)}")
    if ending is None:  # version 1 does not say
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        ending = "".join(Path(names[0]).suffixes[-2:]) if names else _READ[0]
        ending = ending if ending == ".nii.gz" else Path(ending).suffix or ending
    if ending not in _READ:
        raise DataError(
            f"{listing.base}: its files end in {ending}: seglab segments 2D images and reads "
            f"{', '.join(_READ)} of nnU-Net's formats. Write the slices of the volumes as such files, "
            "and keep those of a patient together with group_pattern"
        )
    return str(ending)


def _named(listing: Listing, dataset: Mapping[str, Any]) -> Iterator[Case]:
    """Yield the cases that dataset.json lists itself, with paths below the root."""

    def place(written: str) -> Path:
        return Path(os.path.normpath(listing.base / os.path.expandvars(written)))

    for name, files in dataset.items():
        yield Case(name, tuple(map(place, files["images"])), place(files["label"]), True)


def _in_folder(listing: Listing, part: str, ending: str, labelled: bool) -> list[Case]:
    folder = listing.base / f"images{part}"
    listing.watch(listing.base / f"labels{part}")
    paths = [path for path in listing.images(folder.name) if path.suffix == ending]
    if labelled and not paths:
        raise DataNotFoundError(f"no {ending} files in {folder}; {holding(folder)}")
    found: dict[str, dict[int, Path]] = {}
    unnumbered = []
    for path in paths:
        match = _CHANNEL.fullmatch(path.stem)
        if match is None:
            unnumbered.append(str(path))
        else:
            found.setdefault(match[1], {})[int(match[2])] = path
    if unnumbered:
        title = f"names without the number of a channel, such as CASE_0000{ending}"
        raise DataError(list_problems(title, unnumbered))
    return [
        Case(
            name,
            tuple(
                channels.get(number, folder / f"{name}_{number:04}{ending}")
                for number in range(max(channels) + 1)
            ),
            listing.base / f"labels{part}" / f"{name}{ending}",
            labelled,
        )
        for name, channels in found.items()
    ]


def require_channels(cases: Sequence[Case], names: Mapping[str, Any], file: Path) -> None:
    """Refuse images of another number of channels than dataset.json names; the first one is read.

    Raises:
        DataError: They are.
    """
    if not cases or not names:
        return
    count = _stack(cases[0]).shape[2]
    if count != len(names):
        raise DataError(
            f"{file} names {len(names)} channels ({', '.join(map(str, names.values()))}), and "
            f"{', '.join(path.name for path in cases[0].files)} hold {count}: mend channel_names, or add "
            "the files that are missing"
        )


def one_image(case: Case, folder: Path, listing: Listing) -> Path:
    """Return the file of a case; of several files the array they are stacked to, written anew.

    Args:
        case: The case.
        folder: Where arrays are written.
        listing: Told of every file that is stacked, so that a change is noticed.
    """
    if len(case.files) == 1:
        return case.files[0]
    for path in case.files:
        listing.has(path.relative_to(listing.root).as_posix())
    target = folder / ("train" if case.labelled else "test") / f"{case.name}.npy"
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        np.save(stream, _stack(case))
    return target


def _stack(case: Case) -> np.ndarray:
    """Return all channels of a case `(H, W, channels)`, as stored."""
    planes = [decode_stored(read_bytes(path), path) for path in case.files]
    if len({plane.shape[:2] for plane in planes}) > 1:
        sizes = [
            f"{path}: {plane.shape[0]} x {plane.shape[1]}"
            for path, plane in zip(case.files, planes, strict=True)
        ]
        raise DataError(list_problems(f"{case.name}: its channels differ in size (H x W)", sizes))
    return np.concatenate(planes, axis=2)
