"""Decisions carried out: a new version of the manifest, with a line for everything that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from seglab.core.errors import DataError, list_problems
from seglab.core.labels import LabelSpace
from seglab.curation.cleaning.decisions import Decision, Decisions
from seglab.curation.samples import DROPPED, FILE_FAULTS, read_sample
from seglab.curation.versions import new_version
from seglab.data.manifest import Manifest

TO_RELABEL = "to_relabel"
_DUPLICATES = ("exact_duplicate", "near_duplicate")


@dataclass
class _Work:
    """Rows by sample_id, and what was done to them."""

    manifest: Manifest
    rows: dict[str, dict[str, Any]]
    log: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def clean(
    manifest: Manifest, decisions: Decisions, findings: pd.DataFrame
) -> tuple[Manifest, list[str]]:
    """Carry out decisions.

    Args:
        manifest: The former version.
        decisions: What to do.
        findings: From its audit: which samples are copies of each other.

    Returns:
        The new version, and a line for everything that changed.

    Raises:
        DataError: A decision cannot be carried out; all such are listed, and nothing is.
    """
    records = manifest.table.to_dict(orient="records")
    rows = {row["sample_id"]: {str(key): value for key, value in row.items()} for row in records}
    work = _Work(manifest, rows)
    for one in decisions.each:
        _DEEDS[one.do](work, one)
    if decisions.cap_duplicates is not None:
        _cap(work, findings, decisions.cap_duplicates)
    labels = _merge(work, decisions.merge_classes)
    if work.problems:
        raise DataError(list_problems("nothing was changed", work.problems))
    table = pd.DataFrame(list(work.rows.values()), columns=manifest.table.columns)
    return new_version(manifest, table, "clean", {"log": work.log}, labels), work.log


def _drop(work: _Work, one: Decision) -> None:
    _take_out(work, one.sample_id, one.note or one.kind or "decided")


def _take_out(work: _Work, sample_id: str, why: str) -> None:
    row = work.rows[sample_id]
    if row["keep"] or DROPPED not in row["flags"]:
        flags = [flag for flag in row["flags"] if flag != DROPPED]
        work.rows[sample_id] = {**row, "keep": False, "flags": [*flags, DROPPED]}
        work.log.append(f"drop {sample_id}: {why}")


def _keep(work: _Work, one: Decision) -> None:
    row = work.rows[one.sample_id]
    broken = [flag for flag in row["flags"] if flag in FILE_FAULTS]
    if broken and not row["keep"]:
        work.problems.append(
            f"{one.sample_id}: cannot be kept, its files are faulty ({', '.join(broken)}); mend them "
            "and import again"
        )
        return
    gone = {DROPPED, one.kind}
    flags = [flag for flag in row["flags"] if flag not in gone]
    if not row["keep"] or flags != row["flags"]:
        work.rows[one.sample_id] = {**row, "keep": True, "flags": flags}
        work.log.append(f"keep {one.sample_id}: {one.note or one.kind or 'decided'}")


def _relabel(work: _Work, one: Decision) -> None:
    row = work.rows[one.sample_id]
    flags = [flag for flag in row["flags"] if flag not in (TO_RELABEL, one.kind)]
    if one.mask is None:
        work.rows[one.sample_id] = {**row, "flags": [*row["flags"], TO_RELABEL]}
        work.log.append(f"relabel {one.sample_id}: to be labelled anew, {one.note or one.kind}")
        return
    if one.mask.startswith("/") or ".." in one.mask.split("/"):
        work.problems.append(f"{one.sample_id}: mask {one.mask} is not a path inside the root")
        return
    read = read_sample(work.manifest, {**row, "mask": one.mask}, mask_only=True)
    if read.mask is None:
        work.problems += [f"{one.sample_id}: {text}" for text in read.faults.values()]
        return
    if read.mask.shape != (row["height"], row["width"]):
        sizes = f"{read.mask.shape}, the image {(row['height'], row['width'])} (H, W)"
        work.problems.append(f"{one.sample_id}: mask {one.mask} is {sizes}")
        return
    labels = work.manifest.labels
    counts = np.bincount(read.mask.ravel(), minlength=256)
    pixels = [*counts[: labels.num_classes].tolist(), int(counts[labels.ignore_index])]
    new = {"mask": one.mask, "mask_sha256": read.sha256[1], "class_pixels": pixels, "flags": flags}
    work.rows[one.sample_id] = {**row, **new}
    work.log.append(f"relabel {one.sample_id}: mask {row['mask']} -> {one.mask}")


_DEEDS = {"drop": _drop, "keep": _keep, "relabel": _relabel}


def _cap(work: _Work, findings: pd.DataFrame, most: int) -> None:
    """Keep so many of each picture: those that come first, as audited."""
    copies = findings[findings["kind"].isin(_DUPLICATES)]
    first: dict[str, str] = {}

    def head(name: str) -> str:
        while first.setdefault(name, name) != name:
            name = first[name]
        return name

    for name, other in zip(copies["sample_id"], copies["other"], strict=True):
        first[head(name)] = head(other)
    seen: dict[str, int] = {}
    for name in work.rows:
        if name in first and work.rows[name]["keep"]:
            cluster = head(name)
            seen[cluster] = seen.get(cluster, 0) + 1
            if seen[cluster] > most:
                _take_out(work, name, f"more than {most} of the picture {cluster}")


def _merge(work: _Work, merged: Mapping[str, tuple[str, ...]]) -> LabelSpace | None:
    """Merge classes in labels and counts; masks stay as they are, their values are read otherwise."""
    if not merged:
        return None
    old = work.manifest.labels
    to = {part: new for new, parts in merged.items() for part in parts}
    names = tuple(dict.fromkeys(to.get(name, name) for name in old.class_names))
    index = [names.index(to.get(name, name)) for name in old.class_names]
    palette = tuple(old.palette[index.index(place)] for place in range(len(names)))
    raw = old.raw_ids or {place: place for place in range(old.num_classes)}
    ids = {
        value: index[place] if place < old.num_classes else old.ignore_index
        for value, place in raw.items()
    }
    if not old.raw_ids:
        # Read as ignored without being named; beside names it has to be named.
        ids[old.ignore_index] = old.ignore_index
    for name, row in work.rows.items():
        if row["class_pixels"]:
            counts = np.zeros(len(names) + 1, dtype=np.int64)
            np.add.at(counts, [*index, len(names)], row["class_pixels"])
            work.rows[name] = {**row, "class_pixels": counts.tolist()}
    work.log += [f"merge {', '.join(parts)} into {new}" for new, parts in merged.items()]
    return LabelSpace(names, palette, ids, old.ignore_index, old.ignore_colour)
