"""Versions of a manifest: each says which one it was made from, by what, and can be gone back from."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.manifest import OF_DATA, VERSIONS, Manifest


def new_version(
    manifest: Manifest,
    table: pd.DataFrame,
    by: str,
    note: Mapping[str, Any],
    labels: LabelSpace | None = None,
) -> Manifest:
    """Return a changed manifest that says what it was made from.

    Args:
        manifest: The former version.
        table: Of the new one.
        by: The command.
        note: What was done, plain content.
        labels: Other labels, if they changed.
    """
    entry = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "by": by,
        "of": manifest.fingerprint,
        OF_DATA: manifest.data_fingerprint,
        **note,
    }
    versions = [*manifest.provenance.get(VERSIONS, []), entry]
    provenance = {**manifest.provenance, VERSIONS: versions}
    return replace(manifest, table=table, provenance=provenance, labels=labels or manifest.labels)


def folder_of(path: Path) -> Path:
    """Return the folder a manifest is in, from it or its file."""
    return path if path.is_dir() else path.parent


def undo(folder: Path, root: Path | None = None) -> tuple[Manifest, dict[str, Any]]:
    """Put back the version that the present one was made from; the present one stays beside it.

    Args:
        folder: Of the manifest.
        root: Where the data is now, if it moved.

    Returns:
        The manifest as it is now, and the entry of what was undone.

    Raises:
        DataError: It was made from no other one, or that is no longer there.
    """
    now = Manifest.read(folder, root)
    if not now.provenance.get(VERSIONS):
        raise DataError(f"{folder}: nothing to undo; it is as it was imported")
    former = Manifest.read(former_file(folder), now.root)
    former.write(folder)
    return former, dict(now.provenance[VERSIONS][-1])


def former_file(path: Path) -> Path:
    """Return the file of the version that a manifest was made from.

    Raises:
        DataError: It was made from no other one, or that is no longer there.
    """
    folder = folder_of(path)
    versions = Manifest.read(path).provenance.get(VERSIONS, [])
    if not versions:
        raise DataError(f"{folder}: it is as it was imported, no version is before it")
    former = folder / f"manifest.{versions[-1]['of']}.parquet"
    if not former.is_file():
        raise DataError(f"{folder}: the former version {former.name} is not there any more")
    return former
