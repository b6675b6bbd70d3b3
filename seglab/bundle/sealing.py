"""Writes what makes a folder a bundle: the list of its files with their hashes, and the zip of it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.bundle.loader import VERSIONS
from seglab.core.disk.files import write_text

FORMAT = "seglab-bundle"


def seal(folder: Path, info: Mapping[str, Any]) -> Path:
    """Write `bundle.json` over the files of a folder, last of all.

    Args:
        folder: Holds every file that the bundle shall have.
        info: The content of `bundle.json`, without format, version and list of files.

    Returns:
        Its path.
    """
    path = folder / "bundle.json"
    entries = sorted(entry for entry in folder.rglob("*") if entry.is_file() and entry != path)
    listed = {
        entry.relative_to(folder).as_posix(): hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in entries
    }
    content = {"format": FORMAT, "version": VERSIONS[-1], **info, "files": listed}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path


def pack(folder: Path, path: Path) -> Path:
    """Write a bundle's folder as a zip, stored rather than deflated: weights do not shrink."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry in sorted(folder.rglob("*")):
            if entry.is_file():
                archive.write(entry, entry.relative_to(folder).as_posix())
    return path
