"""The files that `input` names: images and videos on this machine or by URL, and what each is called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from seglab.core.disk.urls import is_url, local_path, url_text
from seglab.core.errors import DataError, DataNotFoundError
from seglab.data.files.image_files import IMAGE_SUFFIXES, read_bytes
from seglab.data.importers.listing import Listing, is_hidden, is_pattern
from seglab.data.remote import place_of
from seglab.data.remote.client import list_folder, status_of

VIDEO_SUFFIXES = tuple(".mp4 .m4v .mov .mkv .avi .webm .mpg .mpeg .ts .wmv .flv".split())
_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Source:
    """A file to predict.

    Attributes:
        name: What its outputs are called, with `/` between folders and without a suffix.
        place: Where it is: a path, or a URL that is read like one.
    """

    name: str
    place: Path

    @property
    def is_video(self) -> bool:
        """Whether it is a video rather than an image."""
        return self.place.suffix.lower() in VIDEO_SUFFIXES

    @property
    def is_remote(self) -> bool:
        """Whether it is read by URL."""
        return is_url(self.place)

    def read(self) -> bytes:
        """Return the content.

        Raises:
            DataError: It cannot be read.
        """
        return read_bytes(self.place)

    def open(self) -> IO[bytes]:
        """Open it for reading, without its content in memory where it is a file of this machine."""
        return self.place.open("rb")

    def version(self) -> list[int] | None:
        """Return numbers that change when the file does; None where nothing is told of it."""
        try:
            if self.is_remote:
                status = status_of(str(self.place))
                return None if status is None else list(status)
            found = self.place.stat()
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns]


def find_sources(text: str, output: Path) -> tuple[list[Source], list[str]]:
    """Return the files that `input` names, sorted, and a sentence on what was skipped.

    Args:
        text: A file, a folder, a pattern or a URL.
        output: Folder that is written to; what lies in it is no input.

    Raises:
        DataNotFoundError: There is no such file or folder.
        DataError: No image or video is there.
        RemoteError: The store cannot be reached, or refuses.
    """
    root, places, notes = _remote(text) if is_url(text) else _local(text)
    own = os.path.realpath(output)
    places = [one for one in places if not os.path.realpath(one).startswith(own + os.sep)]
    if not places:
        raise DataError(
            f"input: {text} holds no images or videos; their names end in {' '.join(_SUFFIXES)}"
        )
    names = [PurePosixPath(os.path.relpath(one, root)) for one in places]
    stems = Counter(str(name.with_suffix("")) for name in names)
    called = [
        str(name if stems[str(name.with_suffix(""))] > 1 else name.with_suffix(""))
        for name in names
    ]
    return [Source(*one) for one in zip(called, places, strict=True)], notes


def share_of(sources: Sequence[Source], place: tuple[int, int]) -> list[Source]:
    """Return every n-th file, beginning with the i-th: the shares of all are all files, each once."""
    return list(sources[place[0] - 1 :: place[1]])


def _local(text: str) -> tuple[Path, list[Path], list[str]]:
    path = local_path(text)
    if path.is_file():
        return path.parent, [path], []
    if path.is_dir():
        root, below = path, "."
    elif is_pattern(text):
        parts = path.parts
        first = next(index for index, part in enumerate(parts) if is_pattern(part))
        root, below = Path(*parts[:first]), "/".join(parts[first:])
    else:
        raise DataNotFoundError(f"input: there is no file or folder {text}")
    if not root.is_dir():
        raise DataNotFoundError(f"input: there is no folder {root}, where {text} looks for files")
    listing = Listing(root, suffixes=_SUFFIXES)
    return root, listing.images(below), listing.notes()


def _remote(text: str) -> tuple[Path, list[Path], list[str]]:
    url = url_text(text)
    place = place_of(url)
    if place.suffix.lower() in _SUFFIXES and not is_pattern(url):
        return place.parent, [place], []
    folder, pattern = url, "*"
    if is_pattern(url):
        folder = url[: min(url.find(sign) for sign in "*?[" if sign in url)].rpartition("/")[0]
        pattern = url[len(folder) + 1 :]
    listed = list_folder(folder)
    if listed is None:
        raise DataError(
            f"input: {text} does not end like an image or a video, and a web server lists no folders; "
            "give the URL of a file"
        )
    names = [
        name
        for name in sorted(listed)
        if fnmatchcase(name, pattern)
        and PurePosixPath(name).suffix.lower() in _SUFFIXES
        and not any(is_hidden(part) for part in PurePosixPath(name).parts)
    ]
    return place_of(folder), [place_of(f"{folder}/{name}") for name in names], []
