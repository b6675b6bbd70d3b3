"""Files that are either whole or absent: written beside their place, then moved there in one step."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglab.core.disk.places import filling, kind_of, placing

# File systems count bytes, and a letter may take four.
_LONGEST_PREFIX, _LONGEST_SUFFIX = 40, 20


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, else it is removed.

    A reader, or a process killed at any moment, sees the old content or the new, never a part. Links
    are written through. What is no file (`/dev/stdout`, a pipe) is written to when all is there.

    Raises:
        PlaceError: No file can be there.
        DiskFullError: The disk is full; what was there before still is.
    """
    with placing(path):
        kind = kind_of(path)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        is_stream = kind not in (None, stat.S_IFREG)
        target = Path(os.path.realpath(path)) if path.is_symlink() and not is_stream else path
        if not path.is_symlink() and not is_stream:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(None if is_stream else target.parent, target)
    try:
        with filling(path):
            yield temporary
        with placing(path):
            if is_stream:
                with path.open("wb") as stream, temporary.open("rb") as content:
                    shutil.copyfileobj(content, stream)
                return
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(folder: Path | None, target: Path) -> Path:
    # Shortened: a name that fits must still fit with what is added.
    suffix = target.suffix if len(target.suffix) < _LONGEST_SUFFIX else ""
    prefix = f".{target.name[:_LONGEST_PREFIX]}."
    handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
    os.close(handle)
    # mkstemp makes private files; a record must be readable as any other file of the user.
    umask = os.umask(0)
    os.umask(umask)
    Path(name).chmod(0o666 & ~umask)
    return Path(name)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities become null, which every reader understands."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if content - content == 0.0 else None
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def hash_json(content: Any) -> str:
    """Return a 16-digit hash of plain content; the order of keys does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return sha256_bytes(text.encode())[:16]
