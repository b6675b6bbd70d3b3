"""The data YAML of Ultralytics: the names of classes, and which folder, list or image is of which split.

`train`, `val` and `test` are a folder, a text file of image paths, or a list of such. They count from `path`,
which counts from the file; without `path` from the file. As the tool does, `../` is passed over where it
leads nowhere, and `./` in a list counts from the list. Paths of another machine lose their first parts
until they lead somewhere.

References:
    Ultralytics, data set YAML: https://docs.ultralytics.com/datasets/segment/
    Ultralytics 8.4.190, how paths are resolved:
        https://github.com/ultralytics/ultralytics/blob/v8.4.190/ultralytics/data/utils.py (check_det_dataset)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seglab.annotations.reading import Tree, reasons_named
from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.text.yaml_words import read_yaml_words, whole_number

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Where Ultralytics keeps data sets, when `path` is a bare name.
_DATASETS = "datasets"
_LARGEST = 1 << 22


@dataclass(frozen=True)
class DataYaml:
    """What a data YAML says, with paths below the root of a tree.

    Attributes:
        file: The file.
        names: Class names in index order.
        places: Folder or image -> split.
        lists: The text files that it names.
        lost: What it names and is not there.
    """

    file: str
    names: list[str]
    places: dict[str, str] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def split_of(self, image: str) -> str | None:
        """Return the split of an image: its own, or that of the nearest folder above it."""
        place = image
        while place not in self.places:
            if not place:
                return None
            place = place.rpartition("/")[0]
        return self.places[place]


def has_names(tree: Tree, file: str) -> bool:
    """Return whether a file is YAML with `names`."""
    content = _content(tree, file)
    return isinstance(content, dict) and content.get("names") is not None


def read_data_yaml(tree: Tree, file: str) -> DataYaml:
    """Read a data YAML with `names`.

    Args:
        tree: Nothing outside it is looked at.
        file: Path below its root.

    Raises:
        DataError: The names are none, or its masks are PNG.
    """
    with reasons_named(file):
        content = _content(tree, file)
        words = read_yaml_words(tree.bytes(file))
        data = DataYaml(file, _names(content["names"], words.get("names")))
        _refuse_masks(content, data.names)
        folder = tree.root / Path(file).parent
        path = str(content.get("path") or "")
        bases = [folder / path, folder / _DATASETS / path, folder, tree.root]
        for key, split in SPLITS.items():
            written = content.get(key) or []
            for one in written if isinstance(written, list) else [written]:
                if not _add(tree, data, bases, str(one), split):
                    data.lost.append(f"{key}: {one}")
        return data


def root_of_data(file: Path) -> tuple[Path, str, str]:
    """Return the folder that holds a data YAML and all it names; below it, the file and the images.

    Raises:
        DataNotFoundError: What it names for training is not there.
        DataError: It has no names, or its places have no folder in common.
    """
    tree = Tree(Path(file.anchor), ())
    name = file.relative_to(tree.root).as_posix()
    if not has_names(tree, name):
        raise DataError(f"{file}: expected a data YAML with `names`, such as names: [road, car]")
    data = read_data_yaml(tree, name)
    if "train" not in data.places.values():
        lost = f"; {', '.join(data.lost)} is not there" if data.lost else ""
        raise DataNotFoundError(
            f"{file}: expected `train`, the folder or list of the training images{lost}. Paths count "
            "from `path`, and that from the file"
        )
    folders = {tree.root / one for one in data.places}
    folders = {one if one.is_dir() else one.parent for one in folders}
    images = Path(os.path.commonpath(folders))
    if images == tree.root:
        raise DataError(
            f"{file}: its images have no folder in common but {images}; move them together"
        )
    root = Path(os.path.commonpath([images, file.parent, *(tree.root / one for one in data.lists)]))
    return root, file.relative_to(root).as_posix(), images.relative_to(root).as_posix()


def _add(tree: Tree, data: DataYaml, bases: Sequence[Path], written: str, split: str) -> bool:
    """Add a folder or image, or all that a list names; return whether it is there."""
    name = _below(tree, bases, written)
    if name is None or not name.endswith(".txt"):
        if name is not None:
            data.places.setdefault("" if name == "." else name, split)
        return name is not None
    data.lists.append(name)
    beside = [(tree.root / name).parent, *bases]
    lines = [line.strip() for line in tree.text(name).splitlines()]
    found = [_below(tree, beside, line) for line in lines if line]
    data.places.update({one: split for one in found if one is not None and one not in data.places})
    if gone := found.count(None):
        data.lost.append(f"{gone} of {len(found)} images of {name}")
    return True


def _below(tree: Tree, bases: Sequence[Path], written: str) -> str | None:
    """Return what is named, below the tree; None: it is nowhere, or outside."""
    written = written.replace("\\", "/")
    parts = [part for part in written.split("/") if part not in ("", ".", "..")]
    for path in _tries(bases, written, parts):
        place = Path(os.path.normpath(path))
        if place.is_relative_to(tree.root) and place.exists():
            return place.relative_to(tree.root).as_posix()
    return None


def _tries(bases: Sequence[Path], written: str, parts: Sequence[str]) -> Iterator[Path]:
    for base in bases:
        yield base / written
        if written.startswith("../"):
            yield base / written.removeprefix("../")
    for base in bases:
        yield from (base.joinpath(*parts[first:]) for first in range(len(parts)))


def _refuse_masks(content: dict[str, Any], names: Sequence[str]) -> None:
    """Say how masks that are PNG are imported.

    Raises:
        DataError: They are.
    """
    masks, mapping = content.get("masks_dir"), content.get("label_mapping")
    if masks is None:
        return
    meaning = f"identity --option 'class_names=[{','.join(names)}]'"
    if isinstance(mapping, dict):
        # Anything but a class of the file is ignored: 255, nothing, or `ignore_label`.
        known = dict(enumerate(names))
        told = (f"{raw}: {known.get(one, 'ignore')}" for raw, one in mapping.items() if raw != -1)
        meaning = f"'{{{', '.join(told)}}}'"
    raise DataError(
        f"its masks are PNG (masks_dir: {masks}), not outlines; import them with `seglab data import "
        f"folder DIR --option images=images --option masks={masks} --option raw_ids={meaning}`"
    )


def _content(tree: Tree, file: str) -> Any:
    content = tree.bytes(file)
    if len(content) > _LARGEST:
        raise DataError(f"{file}: {len(content):,} bytes, more than {_LARGEST:,} for such a file")
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise DataError(f"{file}: not YAML: {str(error)[:200]}") from error


def _names(content: Any, written: Any) -> list[str]:
    """Return the names of classes 0, 1, ...; data.yaml has a list, or a mapping from the index.

    Args:
        content: As YAML reads it, and the tool.
        written: The same with every word as it stands in the file.
    """
    if not isinstance(content, dict | list) or type(written) is not type(content):
        raise DataError("names: expected a list of names, or a mapping from 0, 1, ... to them")
    pairs_of = list(written.items()) if isinstance(written, dict) else list(enumerate(written))
    indices = [key if isinstance(key, int) else whole_number(key) for key, _ in pairs_of]
    order = sorted(index for index in indices if index is not None)
    if order != list(range(len(pairs_of))):
        told = ", ".join(str(key)[:20] for key, _ in pairs_of[:20])
        raise DataError(f"names: expected the indices 0, 1, ..., got {told}")
    names = {index: word for index, (_, word) in zip(indices, pairs_of, strict=True)}
    read = content.values() if isinstance(content, dict) else content
    wrong = [
        f"{index}: {word}"
        for (index, word), one in zip(names.items(), read, strict=True)
        if not isinstance(one, str) or not one.strip()
    ]
    if wrong:
        raise DataError(
            f"names: expected texts, got {', '.join(wrong)[:200]}; a name that YAML reads as a number, "
            "a date, yes or no, or nothing needs quotes, such as 'no'"
        )
    return [str(names[index]) for index in order]
