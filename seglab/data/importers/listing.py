"""The one way in which importers list files: what is a sample's file, what is skipped, what was seen.

Hidden files and folders, and what file managers and archives leave behind, are no samples. Links to
folders are followed, and no folder is listed twice. What was skipped is counted and said; what was
looked at is recorded, so that a file that comes or goes later is noticed (`sources_now`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from seglab.core.disk.files import hash_json, sha256_bytes
from seglab.core.text.escape import one_line
from seglab.data.files.image_files import IMAGE_SUFFIXES
from seglab.data.importers.layout import read_lines, read_pairs

# Left behind by macOS archives, NAS systems, Windows and file systems; all in lower case.
_LEFTOVERS = frozenset(
    (
        "__macosx, @eadir, #recycle, $recycle.bin, lost+found, thumbs.db, desktop.ini, "
        "system volume information"
    ).split(", ")
)
_WILDCARDS = frozenset("*?[")
_NAMED = 3
# What was skipped, as a user reads it: for one, for several.
_HIDDEN_FOLDER = ("hidden folder", "hidden folders")
_HIDDEN_FILE = ("hidden file", "hidden files")
_NO_IMAGE = ("file without the ending of an image", "files without the ending of an image")
_LISTED = (
    "link to a folder above it or listed already",
    "links to folders above them or listed already",
)
_NOWHERE = ("link that leads nowhere", "links that lead nowhere")


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is no part of a data set."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def is_pattern(text: str) -> bool:
    """Return whether a text has wildcards."""
    return bool(_WILDCARDS & set(text))


class Listing:
    """Lists the files of a data set, and remembers what it looked at and what it skipped.

    Args:
        root: The root of the data set.
        base: Folder below it that all paths count from; default is the root itself.
        suffixes: Endings of the files that are listed as images, in lower case.
    """

    def __init__(
        self, root: Path, base: Path | None = None, suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    ) -> None:
        self.root = root
        self.base = base or root
        self.suffixes = suffixes
        self._files: dict[str, str] = {}
        self._lists: dict[str, str | None] = {}
        self._skipped: dict[tuple[str, str], dict[str, None]] = {}

    def images(self, place: str) -> list[Path]:
        """Return the image files of a folder with all below it, or of a pattern, sorted by path.

        Args:
            place: Relative to the base. `*`, `?` and `[...]` match within a name, `**` any number
                of folders; of a folder that matches, all images are taken. Nothing hidden is
                matched or entered unless `place` names it. A place that is not there is empty.
        """
        found: dict[Path, None] = {}
        listed: dict[str, Path] = {}
        for match in self._matches(place):
            if match.is_dir():
                for folder in self._folders(match):
                    if self._is_first(folder, listed):
                        found.update(dict.fromkeys(self._entries(folder)[1]))
            elif match.suffix.lower() in self.suffixes and match.is_file():
                found[match] = None
        for folder in {path.parent: None for path in sorted(found)}:
            if not self._is_first(folder, listed):
                found = {path: None for path in found if path.parent != folder}
        paths = sorted(found)
        names = [path.relative_to(self.root).as_posix() for path in paths]
        self._files[self._relative(self.base / place)] = hash_json(names)
        return paths

    def watch(self, folder: Path) -> None:
        """Remember which images a folder holds, without a word on what is skipped there."""
        quiet = Listing(self.root, folder)
        quiet.images(".")
        self._files |= quiet._files

    def has(self, name: str) -> bool:
        """Return whether there is a text file below the base, whose content matters if so."""
        path = self.base / name
        content = path.read_bytes() if path.is_file() else None
        digest = None if content is None else sha256_bytes(content)
        self._lists[self._relative(path)] = digest
        return content is not None

    def lines(self, name: str) -> list[str]:
        """Return the lines of a list file, see `read_lines`."""
        self.has(name)
        return read_lines(self.base / name)

    def pairs(self, name: str) -> list[tuple[str, str | None]]:
        """Return the pairs of a list file, see `read_pairs`."""
        self.has(name)
        return read_pairs(self.base / name)

    @property
    def sources(self) -> dict[str, Any]:
        """What was looked at: place -> hash of the names found, list -> SHA-256 or None."""
        return {"files": dict(self._files), "lists": dict(self._lists)}

    def notes(self) -> list[str]:
        """Return one sentence on what was skipped, or nothing."""
        parts = []
        for words, paths in self._skipped.items():
            named = [one_line(path) for path in list(paths)[:_NAMED]]
            more = ", ..." if len(paths) > _NAMED else ""
            noun = words[0] if len(paths) == 1 else words[1]
            parts.append(f"{len(paths)} {noun} ({', '.join(named)}{more})")
        return [f"skipped: {', '.join(parts)}"] if parts else []

    def _matches(self, place: str) -> list[Path]:
        whole = self.base / place
        if whole.exists() or not is_pattern(place):
            return [whole]
        return list(self._expand(self.base, Path(place).parts))

    def _expand(self, folder: Path, parts: Sequence[str]) -> Iterator[Path]:
        if not parts:
            yield folder
            return
        head, rest = parts[0], parts[1:]
        if head == "**":
            for below in self._folders(folder):
                yield from self._expand(below, rest)
        elif not is_pattern(head):
            if (folder / head).exists():
                yield from self._expand(folder / head, rest)
        elif folder.is_dir():
            folders, files = self._entries(folder, every=True)
            for path in [*folders, *([] if rest else files)]:
                if fnmatchcase(path.name, head):
                    yield from self._expand(path, rest)

    def _folders(self, start: Path) -> Iterator[Path]:
        """Yield a folder and all below it, each once: real ones first, then what links lead to."""
        real = Path(os.path.realpath(start))
        # A link back to a folder above would bring in everything beside the start.
        seen = {str(parent) for parent in real.parents}
        waiting: list[Path] = [start]
        links: list[Path] = []
        while waiting or links:
            folder = waiting.pop(0) if waiting else links.pop(0)
            place = os.path.realpath(folder)
            if place in seen:
                self._skip(_LISTED, folder)
                continue
            seen.add(place)
            yield folder
            for below in self._entries(folder, every=True)[0]:
                (links if below.is_symlink() else waiting).append(below)

    def _is_first(self, folder: Path, listed: dict[str, Path]) -> bool:
        """Return whether no other match of a pattern led to this folder, by a link above it."""
        if listed.setdefault(os.path.realpath(folder), folder) == folder:
            return True
        self._skip(_LISTED, folder)
        return False

    def _entries(self, folder: Path, every: bool = False) -> tuple[list[Path], list[Path]]:
        """Return folders and files of a folder, sorted: image files, or `every` file."""
        folders, files = [], []
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = folder / entry.name
            if is_hidden(entry.name):
                self._skip(_HIDDEN_FOLDER if entry.is_dir() else _HIDDEN_FILE, path)
            elif entry.is_dir():
                folders.append(path)
            elif not entry.is_file():
                self._skip(_NOWHERE, path)
            elif every or path.suffix.lower() in self.suffixes:
                files.append(path)
            else:
                self._skip(_NO_IMAGE, path)
        return folders, files

    def _skip(self, words: tuple[str, str], path: Path) -> None:
        self._skipped.setdefault(words, {})[self._relative(path)] = None

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def sources_now(root: Path, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Look again at the places that an import looked at; return them as `Listing.sources` does."""
    listing = Listing(root)
    for place in recorded["files"]:
        listing.images(place)
    for name in recorded["lists"]:
        listing.has(name)
    return listing.sources
