"""Corrected annotations taken back: masks drawn anew for samples that a manifest has already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.core.disk.files import atomic_path
from seglab.core.disk.mask_png import write_mask
from seglab.core.disk.urls import is_url
from seglab.core.errors import DataError, list_problems, nearest
from seglab.core.labels import LabelSpace
from seglab.curation.cleaning.decisions import Decision
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

# Beside the masks that are drawn from annotations: what seglab writes below a root of raw data.
FOLDER = ".seglab-masks"
_KIND = "label_error"


def corrected_masks(
    manifest: Manifest, corrected: Manifest, known: Manifest | None = None
) -> tuple[Decision, ...]:
    """Return what to do so that a manifest has the masks of another one, and write these masks.

    Samples are the same where their names are, else where their image files are; classes where their
    names are. A mask that differs is written below the manifest's root, as its other masks are stored, and
    `relabel` says so; one that does not differ was looked at, and `keep` takes its flag.

    Args:
        manifest: What is to be corrected.
        corrected: Of the annotations, such as those of an export that was corrected and imported again.
            Its samples without a mask say nothing.
        known: Images whose mask is known, such as honeypots: what was drawn on them is left out.

    Raises:
        DataError: Samples or classes are not those of the manifest; all such are listed, and nothing is
            written.
    """
    if known is not None:
        hashes = known.table["sha256"].dropna()
        table = corrected.table
        corrected = corrected.with_table(table[~table["sha256"].isin(hashes)])
    found, problems = _pairs(manifest, corrected)
    meaning = meaning_of(manifest.labels, corrected.labels, problems)
    stored = stored_values(manifest.labels)
    changed: dict[str, np.ndarray] = {}
    decisions = []
    for row, new in [] if problems else found:
        name = str(row["sample_id"])
        mask = meaning[read_mask(corrected.root / new, corrected.labels, corrected.mask_encoding)]
        own = _own(manifest, row)
        if own is not None and np.array_equal(mask, own):
            if _KIND in row["flags"] and row["keep"]:
                decisions.append(Decision(name, "keep", None, _KIND, "its labels are right"))
            continue
        values = set(np.unique(mask).tolist()) - set(stored)
        if values and manifest.mask_encoding == "index":
            problems.append(f"{name}: ignored pixels, which these masks have no value for")
        changed[name] = mask
    if problems:
        raise DataError(list_problems(f"{corrected.name} corrects nothing here", problems))
    if changed and is_url(manifest.root):
        raise DataError(
            f"{manifest.root}: corrected masks are written below the root, which is a URL; clean a copy "
            "on this machine (--root FOLDER), then upload it"
        )
    for name, mask in changed.items():
        path = f"{FOLDER}/corrected-{corrected.fingerprint}/{name}.png"
        write_as_stored(manifest.root / path, mask, manifest, stored)
        decisions.append(Decision(name, "relabel", path, _KIND))
    return tuple(decisions)


def _pairs(
    manifest: Manifest, corrected: Manifest
) -> tuple[list[tuple[dict[str, Any], str]], list[str]]:
    """Return the rows to correct with the path of the new mask, and what is not there to correct."""
    records: Any = manifest.table.to_dict(orient="records")
    rows: dict[str, dict[str, Any]] = {row["sample_id"]: row for row in records}
    by_image: dict[str, list[str]] = {}
    for name, row in rows.items():
        by_image.setdefault(row["sha256"], []).append(name)
    found: dict[str, str] = {}
    problems = []
    for new in corrected.table.to_dict(orient="records"):
        if new["mask"] is None or not new["keep"]:
            continue
        name = new["sample_id"]
        same = [name] if name in rows else by_image.get(new["sha256"], [])
        if len(same) != 1:
            why = (
                f"is the image of {', '.join(same)}" if same else f"is no sample of {manifest.name}"
            )
            problems.append(f"{name!r} {why}{'' if same else nearest(name, rows)}")
        elif same[0] in found:
            problems.append(f"{same[0]} is corrected twice")
        else:
            found[same[0]] = new["mask"]
    return [(rows[name], mask) for name, mask in found.items()], problems


def meaning_of(labels: LabelSpace, given: LabelSpace, problems: list[str]) -> np.ndarray:
    """Return the class index in `labels` of every value in masks of `given`, uint8 `(256,)`.

    Args:
        labels: Of the masks to be.
        given: Of those that are there.
        problems: Gets a line for every class of `given` that `labels` does not have.
    """
    table = np.full(256, labels.ignore_index, dtype=np.uint8)
    for index, name in enumerate(given.class_names):
        if name in labels.class_names:
            table[index] = labels.class_names.index(name)
        else:
            problems.append(f"class {name!r} is none of {', '.join(labels.class_names)}")
    return table


def stored_values(labels: LabelSpace) -> dict[int, int]:
    """Return class index -> the value that files hold for it, the first one where there are several."""
    if not labels.raw_ids:
        return {value: value for value in (*range(labels.num_classes), labels.ignore_index)}
    stored: dict[int, int] = {}
    for raw, index in labels.raw_ids.items():
        stored.setdefault(index, raw)
    return stored


def _own(manifest: Manifest, row: Mapping[str, Any]) -> np.ndarray | None:
    if row["mask"] is None:
        return None
    return read_mask(manifest.path(row["mask"]), manifest.labels, manifest.mask_encoding)


def write_as_stored(
    path: Path, mask: np.ndarray, manifest: Manifest, stored: Mapping[int, int]
) -> None:
    """Write a mask of class indices as the manifest's masks are stored."""
    labels = manifest.labels
    path.parent.mkdir(parents=True, exist_ok=True)
    if manifest.mask_encoding == "index" and not labels.raw_ids:
        write_mask(path, mask, labels.palette)
        return
    if manifest.mask_encoding == "colour":
        content = labels.colourise(mask)
        content[mask == labels.ignore_index] = labels.ignore_colour
    else:
        table = np.zeros(256, dtype=np.uint16)
        for index, raw in stored.items():
            table[index] = raw
        content = table[mask]
        content = content.astype(np.uint8) if content.max(initial=0) < 256 else content
    with atomic_path(path) as temporary:
        Image.fromarray(content).save(temporary, format="PNG")
