"""A file or folder by URL that is read as a path is, so that what reads data need not ask where it lies."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path, PosixPath
from typing import IO, Any

from seglab.core.disk.files import sha256_bytes
from seglab.core.disk.urls import is_url, local_path, url_problem, url_text
from seglab.core.errors import DataError
from seglab.data.remote import client
from seglab.data.remote.settings import file_cache


class RemotePath(PosixPath):
    """A place by URL, with the part of `pathlib.Path` that reading data takes.

    Content is read through the file cache of this machine (`seglab.data.remote.settings`); the store
    is asked each time whether it is still that version.
    """

    def __str__(self) -> str:
        return url_text(super().__str__())

    def __fspath__(self) -> str:
        return str(self)

    def is_absolute(self) -> bool:
        """Return True: a URL counts from nowhere."""
        return True

    def absolute(self) -> RemotePath:
        """Return the path itself."""
        return self

    def expanduser(self) -> RemotePath:
        """Return the path itself."""
        return self

    def is_dir(self, **_: Any) -> bool:
        """Return whether a folder is there; of a web server, which lists nothing, that it may be."""
        return client.is_folder(str(self))

    def is_file(self, **_: Any) -> bool:
        """Return whether a file is there."""
        try:
            client.status_of(str(self))
        except FileNotFoundError:
            return False
        return True

    def exists(self, **_: Any) -> bool:
        """Return whether a file or a folder is there."""
        return self.is_file() or self.is_dir()

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            FileNotFoundError: There is no such file.
            RemoteError: The store cannot be reached, or refuses.
        """
        url, cache = str(self), file_cache()
        status = client.status_of(url)
        digest = None if status is None else cache.digest_of(url, status)
        content = None if digest is None else cache.get(digest)
        if content is not None:
            return content
        content = client.fetch(url)
        digest = sha256_bytes(content)
        cache.put(digest, content)
        if status is not None:
            cache.learn(url, status, digest)
        return content

    def read_version(self, sha256: str | None) -> bytes:
        """Return the content, from the cache without a question where it holds this SHA-256.

        What the store holds may be another version: the caller compares.

        Raises:
            FileNotFoundError: There is no such file.
            RemoteError: The store cannot be reached, or refuses.
        """
        if sha256 is None:
            return self.read_bytes()
        cache = file_cache()
        content = cache.get(sha256)
        if content is None:
            content = client.fetch(str(self))
            if sha256_bytes(content) == sha256:
                cache.put(sha256, content)
        return content

    def open(self, mode: str = "r", *_: Any, **__: Any) -> IO[Any]:  # type: ignore[override]
        """Open for reading bytes; nothing is ever written by URL.

        Raises:
            DataError: Another mode.
        """
        if mode != "rb":
            raise DataError(f"{self}: files by URL are only read, as bytes; got mode {mode!r}")
        return io.BytesIO(self.read_bytes())


def place_of(place: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """Return a place as a path that can be read from: of this machine, absolute, or by URL.

    Args:
        place: Path or URL.
        folder: What a relative path counts from; None: the folder the process is in.

    Raises:
        DataError: A URL holds credentials.
    """
    if not is_url(place):
        return local_path(place, folder)
    problem = url_problem(place)
    if problem:
        raise DataError(f"expected the URL of a file or folder, got {problem}")
    return RemotePath(url_text(place))


def below(root: Path, name: str) -> Path:
    """Return where a file of a data set is: below its root, or at a URL of its own."""
    return place_of(name) if is_url(name) else root / name


def common_root(places: Sequence[Path]) -> Path:
    """Return a root for files below several folders and URLs: what the folders have in common.

    Args:
        places: Absolute folders, or URLs; at least one.
    """
    local = [place for place in places if not is_url(place)]
    return Path(os.path.commonpath(local)) if local else places[0]


def name_below(root: Path, place: Path) -> str:
    """Return what `below` takes for a file: its path relative to the root, or its whole URL."""
    return str(place) if is_url(place) else place.relative_to(root).as_posix()
