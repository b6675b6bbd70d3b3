"""Labelled images join a manifest as a new version; what nearly is in a holdout does not."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from seglab.core.disk.files import atomic_path, sha256_bytes
from seglab.core.disk.urls import is_url
from seglab.core.errors import DataError, list_problems
from seglab.curation.cleaning.corrected import meaning_of, stored_values, write_as_stored
from seglab.curation.known import KnownImages
from seglab.curation.versions import new_version
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.files.images import read_image
from seglab.data.manifest import Manifest
from seglab.feedback.exchange.answers import Answer
from seglab.feedback.options import TakeOptions
from seglab.feedback.queue.content import Queue

# Below the root, hidden, so that no importer takes it for its own data.
FOLDER = ".seglab-review"
_HELD_OUT = ("val", "test")


@dataclass
class Joined:
    """What became of labelled images.

    Attributes:
        manifest: The new version; the former one where nothing changed.
        added: Items that are new in it.
        relabelled: Items that were in it, and have another mask now.
        same: Items that were in it, with this mask.
        refused: Why others are not in it, by item.
    """

    manifest: Manifest
    added: list[str] = field(default_factory=list)
    relabelled: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def join(
    manifest: Manifest, queue: Queue, answers: Sequence[Answer], options: TakeOptions
) -> Joined:
    """Return a manifest with labelled images for training; their files are copied below its root.

    An image that is there already keeps its row and gets the mask. One that nearly is in the holdout, or
    whose group is held out, is refused.

    Args:
        manifest: The former version.
        queue: Where the images are.
        answers: Those that are labelled.
        options: Another holdout.

    Raises:
        DataError: The manifest lacks a class, cannot hold ignored pixels, or its root is a URL.
    """
    if is_url(manifest.root):
        raise DataError(
            f"{manifest.root}: images are copied below the root, which is a URL; join a copy of the data "
            "on this machine, then upload it"
        )
    joined = Joined(manifest)
    taken = [one for one in answers if not _is_refused(one, manifest, joined)]
    known = [KnownImages(manifest, _HELD_OUT)]
    if options.holdout is not None:
        other = Manifest.read(Path(options.holdout).expanduser())
        known.append(KnownImages(other, options.holdout_splits))
    taken = [one for one in taken if not _is_near(one, queue, known, joined)]
    if not taken:
        return joined
    rows = _rows(manifest, queue, taken)
    table = _with(manifest, rows, joined)
    if joined.added or joined.relabelled:
        note = {"queue": queue.hash, "added": joined.added, "relabelled": joined.relabelled}
        joined.manifest = new_version(manifest, table, "review take", note)
    return joined


def _is_refused(answer: Answer, manifest: Manifest, joined: Joined) -> bool:
    """Tell whether the group of an image is held out: frames of one camera are not independent."""
    table, stream = manifest.table, answer.item.stream
    held = table["split"].isin(_HELD_OUT) & table["keep"] & (table["group"] == stream)
    if stream and held.any():
        split = str(table.loc[held, "split"].iloc[0])
        joined.refused[answer.item.id] = f"its group {stream} is in {split}"
    return answer.item.id in joined.refused


def _is_near(answer: Answer, queue: Queue, known: Sequence[KnownImages], joined: Joined) -> bool:
    image = read_image(queue.folder / answer.item.image)
    for one in known:
        if (near := one.near(image)) is not None:
            text = f"nearly {near[0]} of the holdout (correlation {near[1]:.3f})"
            joined.refused[answer.item.id] = text
    return answer.item.id in joined.refused


def _rows(manifest: Manifest, queue: Queue, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Copy images and write masks as the manifest stores them; return their rows."""
    problems: list[str] = []
    meaning = meaning_of(manifest.labels, queue.labels, problems)
    stored = stored_values(manifest.labels)
    masks = {one.item.id: meaning[one.mask] for one in answers if one.mask is not None}
    ignored = manifest.labels.ignore_index
    if manifest.mask_encoding == "index" and ignored not in stored:
        problems += [
            f"{name}: ignored pixels" for name, mask in masks.items() if (mask == ignored).any()
        ]
    if problems:
        raise DataError(list_problems(f"{manifest.name} cannot hold these labels", problems))
    folder = manifest.root / FOLDER / queue.hash
    samples = []
    for one in answers:
        item, mask = one.item, masks[one.item.id]
        image = folder / Path(item.image).name
        with atomic_path(image) as temporary:
            shutil.copyfile(queue.folder / item.image, temporary)
        # A name for each content: the former version keeps its own file.
        place = folder / f"{item.id}.{sha256_bytes(mask.tobytes())[:8]}.png"
        write_as_stored(place, mask, manifest, stored)
        tags = ("review", item.part)
        group = item.stream or item.id
        samples.append(SampleFiles(item.id, image, place, "train", group, one.annotator, tags))
    made = ImportedFiles(samples, manifest.labels, manifest.mask_encoding, are_upright=True)
    built = build_manifest(made, manifest.root, manifest.name, {})
    records = built.table.to_dict(orient="records")
    return [{str(key): value for key, value in row.items()} for row in records]


def _with(manifest: Manifest, rows: Sequence[dict[str, Any]], joined: Joined) -> pd.DataFrame:
    """Return the table with new rows, and new masks in the rows of images that are there."""
    table: list[dict[Any, Any]] = manifest.table.to_dict(orient="records")
    names = {row["sample_id"] for row in table}
    images = {row["sha256"]: place for place, row in enumerate(table) if row["sha256"]}
    new_ones: dict[int, str] = {}
    for row in rows:
        name = str(row["sample_id"])
        place = images.get(row["sha256"])
        if place is None:
            images[row["sha256"]] = len(table)
            new_ones[len(table)] = name
            # Files of two folders may share a name.
            own = f"{name}-{row['sha256'][:8]}" if name in names else name
            table.append({**row, "sample_id": own})
            joined.added.append(name)
        elif place in new_ones:
            joined.refused[name] = f"the same image as {new_ones[place]}"
        elif table[place]["mask_sha256"] == row["mask_sha256"]:
            joined.same.append(name)
        else:
            new = {key: row[key] for key in ("mask", "mask_sha256", "class_pixels", "annotator")}
            split = table[place]["split"] if table[place]["mask"] else row["split"]
            tags = list(dict.fromkeys([*table[place]["tags"], *row["tags"]]))
            table[place] = {**table[place], **new, "split": split, "tags": tags}
            joined.relabelled.append(name)
    return pd.DataFrame(table, columns=manifest.table.columns)
