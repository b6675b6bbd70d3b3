"""Folders and files that cannot be used, and disks that become full: what to say of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.core.errors import DiskFullError, PlaceError, SeglabError

# No space, no quota, or larger than a file may be.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNUSABLE = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENXIO,
        errno.EINVAL,
        errno.ENOTSUP,
    }
)
# What NumPy says, without a number, where not all of an array could be written.
_SHORT_WRITE = "requested and"


@contextmanager
def placing(path: Path) -> Iterator[None]:
    """Turn what the operating system says while `path` is made into an error that names it.

    Raises:
        PlaceError: Nothing can be there.
        DiskFullError: The disk is full.
    """
    try:
        yield
    except SeglabError:
        raise
    except Exception as error:
        named = place_error(error, path)
        if named is None:
            raise
        raise named from error


@contextmanager
def filling(path: Path) -> Iterator[None]:
    """Do as `placing`, but only of a full disk: other errors in the body may be about other files."""
    try:
        yield
    except SeglabError:
        raise
    except Exception as error:
        named = place_error(error, path)
        if isinstance(named, DiskFullError):
            raise named from error
        raise


def place_error(error: BaseException | None, path: Path | None = None) -> PlaceError | None:
    """Return what to tell of an error of the operating system; None where it is about no place.

    Args:
        error: Or one that a library made of it (torch hides a full disk in a `RuntimeError`).
        path: What was written; the file the error names when None.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and not isinstance(error, SeglabError):
            named = Path(os.fsdecode(error.filename)) if _is_path(error.filename) else None
            place = path or named
            if error.errno in _FULL or (error.errno is None and _SHORT_WRITE in str(error)):
                return DiskFullError(_full(place), place)
            if place is not None and error.errno in _UNUSABLE:
                return PlaceError(f"{place} cannot be used: {_why(place, error.errno)}", place)
        error = error.__cause__ or error.__context__
    return None


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike)


def _full(place: Path | None) -> str:
    return "the disk became full" if place is None else f"the disk became full at {place}"


def _why(path: Path, code: int | None) -> str:
    message = os.strerror(code or 0).lower()
    if code == errno.ENAMETOOLONG:
        return "the name is longer than the file system takes"
    if code == errno.ELOOP:
        return "its links lead in a circle"
    for place in (path, *path.parents):
        if not os.path.lexists(place):
            continue
        if place.is_symlink() and not place.exists():
            return f"{place} is a link to {place.readlink()}, which is not there"
        if place.is_dir():
            return message if place != path else _why_not_here(message, code)
        wanted = "folder" if place != path or code in (errno.EEXIST, errno.ENOTDIR) else "place"
        return f"{place} is a file, where a {wanted} is needed" if wanted == "folder" else message
    return message


def _why_not_here(message: str, code: int | None) -> str:
    return "it is a folder, where a file is needed" if code == errno.EISDIR else message


def kind_of(path: Path) -> int | None:
    """Return the file type of what is at a path (`stat.S_IFREG` ...), links followed; None: nothing.

    Raises:
        OSError: No file can have this path.
    """
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None
