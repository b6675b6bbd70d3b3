"""Places that are URLs (`s3://bucket/folder`): told from paths, written alike, free of credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Of two letters at least: one is a drive of Windows. A path has lost one of the slashes.
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=[^/])", re.IGNORECASE)
_LOCAL = frozenset({"file", "local"})
_WEB = frozenset({"http", "https"})


def is_url(place: str | os.PathLike[str]) -> bool:
    """Return whether a place is a URL rather than a path on this machine; `file://` is a path."""
    found = _URL.match(os.fspath(place))
    return found is not None and found[1].lower() not in _LOCAL


def is_web(place: str | os.PathLike[str]) -> bool:
    """Return whether a place is on a web server, which lists no folders."""
    found = _URL.match(os.fspath(place))
    return found is not None and found[1].lower() in _WEB


def url_text(place: str | os.PathLike[str]) -> str:
    """Return a URL as it is written, also where it went through a path and lost a slash."""
    return _URL.sub(lambda found: f"{found[1].lower()}://", os.fspath(place), count=1).rstrip("/")


def local_path(place: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """Return a place on this machine as an absolute path, `file://` taken off.

    Args:
        place: The path.
        folder: What a relative one counts from; None: the folder the process is in.
    """
    text = os.fspath(place)
    found = _URL.match(text)
    path = Path("/" + text[found.end() :] if found else text).expanduser()
    return ((folder or Path()) / path).absolute()


def url_problem(place: str | os.PathLike[str]) -> str | None:
    """Return what is wrong with a URL, without a word of it where it may hold a secret; None if nothing.

    A place is written into manifests, records and logs, where no credentials belong.
    """
    text = url_text(place)
    scheme, _, rest = text.partition("://")
    if "@" in rest.partition("/")[0]:
        return (
            f"a {scheme} URL that holds credentials (NAME:SECRET@); give them by the environment or "
            "the file of credentials of the store (for S3 AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, for others ~/.config/fsspec/), and the URL without them"
        )
    if is_web(text) and "?" in rest:
        return (
            "a signed or parametrised URL (with `?`); give one without, and access by the "
            "environment or ~/.config/fsspec/"
        )
    return None
