"""The bundles in a registry: copied whole or not at all, and checked on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from seglab.core.disk.places import filling
from seglab.core.errors import DataError

_GROWING = ".adding-"


def keep_bundle(target: Path, files: Mapping[str, bytes]) -> None:
    """Have a bundle's folder in its place, whole; what killed processes left beside it goes.

    Args:
        target: Its place; what is there already stays, if it is whole.
        files: Content by name.

    Raises:
        DataError: The bundle predicts otherwise on this machine than at its export.
    """
    for left in target.parent.glob(f"{_GROWING}*"):
        shutil.rmtree(left)  # of a process that was killed: the registry's lock is ours
    if target.is_dir() and _is_whole(target):
        return
    growing = target.with_name(f"{_GROWING}{target.name}")
    with filling(growing):
        _write_files(growing, files)
    check_bundle(growing)
    if target.exists():
        target.rename(target.with_name(f"{_GROWING}damaged-{target.name}"))
    growing.rename(target)
    sync_folder(target.parent)


def read_bundle(path: Path) -> dict[str, bytes]:
    """Return a bundle's files by name, all of which would lie inside its folder.

    Raises:
        DataError: It is damaged, or no bundle.
    """
    from seglab.bundle.loader import BundleError, read_files

    try:
        files = read_files(path)
    except BundleError as error:
        raise DataError(f"bundle: {error}") from error
    outside = [one for one in files if PurePosixPath(one).is_absolute() or ".." in one.split("/")]
    if outside:
        raise DataError(f"bundle: {path} holds files that would lie outside it: {outside}")
    return files


def check_bundle(place: Path) -> None:
    """Load a bundle, with its golden images.

    Raises:
        DataError: It is damaged, or predicts otherwise than at its export.
    """
    from seglab.bundle.loader import BundleError, load

    try:
        load(place)
    except BundleError as error:
        raise DataError(f"bundle: {error}") from error


def _is_whole(place: Path) -> bool:
    try:
        check_bundle(place)
    except DataError:
        return False
    return True


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    for one in (folder, *(entry for entry in folder.rglob("*") if entry.is_dir())):
        sync_folder(one)


def sync_folder(folder: Path) -> None:
    """Have what was made and renamed in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
