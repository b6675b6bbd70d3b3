"""Stores as fsspec reaches them: what a file is, what a folder holds, what is in a file.

fsspec and the libraries below it (botocore, aiohttp) try again by themselves; what fails then is
told in one message. A client belongs to the process that made it: a loader worker that was forked
makes one of its own.
"""

from __future__ import annotations

import datetime
import errno
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from seglab.core.disk.urls import is_web
from seglab.core.errors import SeglabError

# Size, time of change (ns) and a number of the version's name; None where none of them is told.
Status = tuple[int, int, int]

_clients: dict[tuple[int, str], Any] = {}
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_NAMES = ("ETag", "etag", "md5Hash", "ContentMD5", "generation", "sha256")
_QUERY = re.compile(r"\?[^\s\"']*=[^\s\"']*")
_SETTINGS = {
    "s3": (
        "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL for a store "
        "that is not Amazon's"
    ),
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_SETTINGS |= {"s3a": _SETTINGS["s3"], "gcs": _SETTINGS["gs"], "az": _SETTINGS["abfs"]}
_EXTRAS = {"s3": "pip install 'seglab[s3]'", "s3a": "pip install 'seglab[s3]'"}


class RemoteError(SeglabError, ConnectionError):
    """A store could not be reached, or refused: nothing is known of the file itself."""


def fetch(url: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: There is none.
        RemoteError: The store cannot be reached, or refuses.
    """
    with _told(url):
        client, path = _client(url)
        content: bytes = client.cat_file(path)
        return content


def status_of(url: str) -> Status | None:
    """Return the status of a file; None where the store tells no version of it.

    Raises:
        FileNotFoundError: There is no such file.
        RemoteError: The store cannot be reached, or refuses.
    """
    with _told(url):
        client, path = _client(url)
        info = client.info(path)
        if info["type"] == "directory":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
        return _status(info)


def is_folder(url: str) -> bool:
    """Return whether a folder is there; of a web server, which lists nothing, that it may be.

    Raises:
        RemoteError: The store cannot be reached, or refuses.
    """
    if is_web(url):
        return True
    with _told(url):
        client, path = _client(url)
        return bool(client.isdir(path))


def list_folder(url: str) -> dict[str, Status | None] | None:
    """Return the status of every file below a folder by its path there; None of a web server.

    Raises:
        RemoteError: The store cannot be reached, or refuses.
    """
    if is_web(url):
        return None
    with _told(url):
        client, path = _client(url)
        found = client.find(path, detail=True)
        start = len(path.rstrip("/")) + 1
        return {name[start:]: _status(info) for name, info in found.items()}


def _client(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, made by this process, and the path there."""
    scheme, _, rest = url.partition("://")
    key = (os.getpid(), f"{scheme}://{rest.partition('/')[0]}")
    # A listing that is remembered would hide what changes.
    options = {"use_listings_cache": False, "skip_instance_cache": True}
    if key not in _clients:
        _clients[key] = url_to_fs(url, **options)[0]
    client = _clients[key]
    return client, client._strip_protocol(url)


def _status(info: Mapping[str, Any]) -> Status | None:
    times = [info[name] for name in _TIMES if info.get(name) is not None]
    names = [str(info[name]) for name in _NAMES if info.get(name) is not None]
    if info.get("size") is None or not (times or names):
        return None
    return (
        int(info["size"]),
        _nanoseconds(times[0]) if times else 0,
        zlib.crc32("".join(names).encode()),
    )


def _nanoseconds(when: Any) -> int:
    if isinstance(when, str):
        try:
            when = datetime.datetime.fromisoformat(when)
        except ValueError:
            return zlib.crc32(when.encode())
    if isinstance(when, datetime.datetime):
        when = when.timestamp()
    return int(when * 1_000_000_000)


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except (MemoryError, SeglabError):
        raise
    except ImportError as error:
        scheme = url.partition("://")[0]
        remedy = _EXTRAS.get(scheme, "install the package that fsspec names")
        raise RemoteError(f"{url} cannot be read: {error}; {remedy}") from error
    except Exception as error:  # each store has errors of its own
        raise RemoteError(_message(url, error)) from error


def _message(url: str, error: Exception) -> str:
    scheme = url.partition("://")[0]
    if scheme not in fsspec.available_protocols():
        return f"{url} cannot be read: fsspec knows no {scheme}://"
    settings = _SETTINGS.get(scheme, f"FSSPEC_{scheme.upper()}_... or ~/.config/fsspec/")
    kind = (
        "the store refuses" if isinstance(error, PermissionError) else "the store does not answer"
    )
    # What is asked for may be signed.
    words = _QUERY.sub("", str(error))
    told = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return (
        f"{url} cannot be read, {kind} ({told}); check the network and what says where the store is "
        f"and who asks: {settings}"
    )
