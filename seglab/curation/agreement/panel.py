"""Which images were drawn by whom, out of one manifest or several, and their masks in one label space.

Two rows are of the same image where the bytes of their image files are the same (`sha256`), whatever
they are called: so one manifest can hold an image several times, under a `sample_id` and an `annotator`
a row. Where a tool wrote the images anew, `match="sample_id"` pairs them by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from seglab.core.errors import ConfigError, DataError, list_problems
from seglab.core.labels import LabelSpace
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

Match = Literal["sha256", "sample_id"]
Masks = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Drawing:
    """One mask: the row of a manifest.

    Args:
        manifest: Where it stands.
        row: Column -> value.
        classes: uint8 `(256,)`, class index in the manifest -> class index in the panel.
    """

    manifest: Manifest
    row: dict[str, Any]
    classes: np.ndarray

    def read(self) -> np.ndarray:
        """Return the mask in the panel's classes, uint8 `(H, W)`.

        Raises:
            DataError: The file is missing, damaged, or holds unknown values.
        """
        path = self.manifest.path(self.row["mask"])
        return self.classes[read_mask(path, self.manifest.labels, self.manifest.mask_encoding)]


@dataclass(frozen=True, eq=False)
class RatedImage:
    """One image and who drew it.

    Args:
        sample_id: Its name in the first manifest that has it.
        group: The scene, patient or video it belongs to.
        drawings: Annotator -> mask.
    """

    sample_id: str
    group: str
    drawings: dict[str, Drawing]


@dataclass(frozen=True, eq=False)
class Panel:
    """Images that several annotators drew.

    Args:
        annotators: Their names, sorted.
        labels: Class names, palette and ignored index of all masks as they are read.
        images: Images with at least two drawings, sorted by name.
        single: Names of images that one annotator alone drew.
        left_out: Name -> why an image or row could not be used; reading adds to it.
    """

    annotators: tuple[str, ...]
    labels: LabelSpace
    images: tuple[RatedImage, ...]
    single: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def read(self) -> Iterator[tuple[RatedImage, Masks]]:
        """Yield every image with its masks, annotator -> uint8 `(H, W)`.

        Images with a faulty mask, or masks of different sizes, are left out with the reason in
        `left_out`.
        """
        for image in self.images:
            try:
                masks = {name: drawing.read() for name, drawing in image.drawings.items()}
            except DataError as error:
                self.left_out[image.sample_id] = str(error)
                continue
            sizes = {name: mask.shape for name, mask in masks.items()}
            if len(set(sizes.values())) > 1:
                told = ", ".join(f"{name} {h} x {w}" for name, (h, w) in sizes.items())
                self.left_out[image.sample_id] = f"masks of different size (H x W): {told}"
                continue
            yield image, masks

    def groups(self) -> list[str] | None:
        """Return the group of each image; None where every image is a group of its own."""
        groups = [image.group for image in self.images]
        return groups if len(set(groups)) < len(groups) else None


def read_panel(
    manifests: Sequence[Manifest],
    names: Sequence[str] = (),
    match: Match = "sha256",
    at_least: int = 2,
) -> Panel:
    """Return who drew what.

    Args:
        manifests: One a annotator, or any with a column `annotator`. Rows that are not kept or have no
            mask do not count.
        names: One name a manifest, whatever its column `annotator` says. Without, a row is by whom
            the column says, else by the name of its manifest.
        match: Same image: the same bytes of the file, or the same `sample_id`.
        at_least: Drawings an image must have.

    Raises:
        ConfigError: Names do not fit the manifests.
        DataError: The manifests have other classes, an annotator drew an image twice, or no image was
            drawn by as many.
    """
    if names and (len(names) != len(manifests) or len(set(names)) < len(names)):
        raise ConfigError(
            f"expected a name of its own for each of {len(manifests)} manifests, got {list(names)}"
        )
    labels = manifests[0].labels
    maps = [_class_map(manifest, labels) for manifest in manifests]
    titles = _titles(manifests)
    found: dict[str, list[tuple[str, Drawing]]] = defaultdict(list)
    left_out: dict[str, str] = {}
    for number, manifest in enumerate(manifests):
        table = manifest.table
        for row in table[table["keep"] & table["mask"].notna()].to_dict(orient="records"):
            who = names[number] if names else row["annotator"] or titles[number]
            key = row[match]
            if who is None or key is None:
                lacks = "annotator" if who is None else match
                left_out[row["sample_id"]] = f"its row has no {lacks}"
                continue
            drawing = Drawing(manifest, {str(k): v for k, v in row.items()}, maps[number])
            found[key].append((who, drawing))
    _require_once(found, names)
    images = [_rated(drawings) for drawings in found.values()]
    rated = sorted(
        (one for one in images if len(one.drawings) >= at_least), key=lambda one: one.sample_id
    )
    single = sorted(one.sample_id for one in images if len(one.drawings) < at_least)
    if not rated:
        raise DataError(_nothing_in_common(manifests, match, left_out))
    annotators = sorted({name for one in rated for name in one.drawings})
    plain = LabelSpace(labels.class_names, labels.palette, ignore_index=labels.ignore_index)
    return Panel(tuple(annotators), plain, tuple(rated), tuple(single), left_out)


def _titles(manifests: Sequence[Manifest]) -> list[str | None]:
    """Return who drew the rows of each manifest that do not say it; one alone tells nobody."""
    if len(manifests) == 1:
        return [None]
    taken = [manifest.name for manifest in manifests]
    return [name if taken.count(name) == 1 else f"{name} {n + 1}" for n, name in enumerate(taken)]


def _class_map(manifest: Manifest, labels: LabelSpace) -> np.ndarray:
    """Return a table from the manifest's class indices to those of `labels`, by name."""
    own, wanted = manifest.labels.class_names, labels.class_names
    if set(own) != set(wanted):
        problems = [
            f"only in {manifest.name}: {', '.join(name for name in own if name not in wanted)}",
            f"only in the first: {', '.join(name for name in wanted if name not in own)}",
        ]
        raise DataError(
            list_problems(
                "the manifests have other classes; import them with one label space",
                [one for one in problems if not one.endswith(": ")],
            )
        )
    table = np.full(256, labels.ignore_index, dtype=np.uint8)
    table[: len(own)] = [wanted.index(name) for name in own]
    return table


def _require_once(found: dict[str, list[tuple[str, Drawing]]], names: Collection[str]) -> None:
    problems = []
    for drawings in found.values():
        who = [name for name, _ in drawings]
        problems += [
            f"{drawings[0][1].row['sample_id']}: {who.count(name)} masks by '{name}'"
            for name in dict.fromkeys(who)
            if who.count(name) > 1
        ]
    if problems:
        hint = "" if names else ", or name whole manifests with --names"
        raise DataError(
            list_problems(
                f"an annotator can draw an image once; set the column annotator apart{hint}",
                problems,
            )
        )


def _rated(drawings: Sequence[tuple[str, Drawing]]) -> RatedImage:
    first = drawings[0][1].row
    ids = {drawing.row["sample_id"] for _, drawing in drawings}
    # Rows of one manifest have names of their own; what they share is the image.
    name = first["sample_id"] if len(ids) == 1 else first["image"].rpartition(".")[0]
    group = first["group"] if first["group"] not in ids else name
    return RatedImage(name, group, dict(sorted(drawings)))


def _nothing_in_common(
    manifests: Sequence[Manifest], match: Match, left_out: dict[str, str]
) -> str:
    if len(manifests) == 1:
        return (
            f"no image of {manifests[0].name} was drawn twice: expected rows with the same image "
            "(sha256) and different names in the column annotator, or give two manifests"
            + (f"; {len(left_out)} rows name no annotator" if left_out else "")
        )
    other = "sample_id" if match == "sha256" else "sha256"
    return (
        f"the {len(manifests)} manifests have no image in common by {match}; where the files were "
        f"written anew or renamed try --match {other}"
    )
