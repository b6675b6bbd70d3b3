"""What is done in a folder of predictions, so that the same call goes on where the last one stopped.

`predict.json` says which bundle and which options the folder belongs to. Below `done` every share of the
files has its own list, a line of JSON a file, written after all outputs of the file are in their places.
A line that a crash cut off is not read, and its file is predicted again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from seglab.core.disk.files import write_json
from seglab.core.disk.places import filling, placing
from seglab.core.errors import ConfigError, DataError
from seglab.core.problems import show
from seglab.deploy.predict.files.sources import Source

SETTINGS = "predict.json"
_DONE = "done"
# Outputs that a later call may ask for beside those of the former.
ADDED_LATER = ("overlays", "probabilities", "entropy")


class Ledger:
    """The files that are done; made by `open_ledger`.

    Args:
        folder: Folder of predictions.
        stream: The list of this share, to be added to.
    """

    def __init__(self, folder: Path, stream: IO[str]) -> None:
        self._folder = folder
        self._stream = stream
        self._known = read_done(folder)

    def is_done(self, source: Source, kinds: Collection[str] = ()) -> bool:
        """Return whether a file was predicted, has not changed since, and all its outputs are there.

        Args:
            source: The file.
            kinds: Outputs it must have, such as `overlays`.
        """
        return {"masks", *kinds} <= self._kinds(source).keys()

    def mask_of(self, source: Source, kinds: Collection[str]) -> Path | None:
        """Return the mask (PNG) of a file that is done but for overlays; None of any other."""
        there = self._kinds(source)
        mask = there.get("masks")
        only_overlays = set(kinds) - there.keys() == {"overlays"}
        return mask if mask is not None and mask.suffix == ".png" and only_overlays else None

    def _kinds(self, source: Source) -> dict[str, Path]:
        """Return the outputs of a file by their kind; none where it is to be predicted."""
        entry = self._known.get(source.name)
        if entry is None or entry["source"] != str(source.place):
            return {}
        outputs = {one.partition("/")[0]: self._folder / one for one in entry["files"]}
        whole = entry["version"] == source.version() and all(map(Path.is_file, outputs.values()))
        return outputs if whole else {}

    def add(self, entry: dict[str, Any]) -> None:
        """Note a file, whose outputs are written: its name, source, version, files, sizes and areas."""
        with filling(self._folder / _DONE):
            self._stream.write(json.dumps(entry) + "\n")
            self._stream.flush()


@contextmanager
def open_ledger(
    folder: Path, settings: Mapping[str, Any], place: tuple[int, int]
) -> Iterator[Ledger]:
    """Yield the ledger of one share of the files.

    Args:
        folder: Folder of predictions, made where it is not there.
        settings: What decides what is written, as plain content.
        place: Which share of how many.

    Raises:
        ConfigError: The folder belongs to another bundle or other options.
        DataError: Another process works on this share, or the folder holds something else.
        PlaceError: No folder can be there.
    """
    with placing(folder):
        (folder / _DONE).mkdir(parents=True, exist_ok=True)
    share = f"{place[0]}-of-{place[1]}"
    try:
        with FileLock(folder / _DONE / f"{share}.lock", timeout=0):
            with FileLock(folder / _DONE / "settings.lock"):
                _require_same(folder, settings)
            path = folder / _DONE / f"{share}.jsonl"
            _end_line(path)
            with path.open("a", encoding="utf-8") as stream:
                yield Ledger(folder, stream)
    except Timeout as error:
        raise DataError(f"{folder}: another process predicts share {share} into it") from error


def read_done(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is done, by name, over all shares."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((folder / _DONE).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off by a crash
            former = found.get(entry["name"])
            if former is not None and former["version"] == entry["version"]:
                # Outputs that were asked for later come beside the former ones.
                entry["files"] = list(dict.fromkeys([*former["files"], *entry["files"]]))
            found[entry["name"]] = entry
    return found


def _end_line(path: Path) -> None:
    """Close a line that a crash cut off, so that the next one is not a part of it."""
    if path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n")


def _require_same(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.is_file():
        write_json(path, wanted)
        return
    try:
        former = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; give another output=FOLDER") from error
    added = {key: True for key in ADDED_LATER if wanted.get(key) and not former.get(key)}
    if "overlays" in added:
        added["overlay_alpha"] = wanted["overlay_alpha"]
    former |= added
    changed = [key for key in wanted if former.get(key) != wanted[key]]
    if changed:
        said = "; ".join(
            f"{key} was {show(former.get(key))}, now {show(wanted[key])}" for key in changed
        )
        raise ConfigError(
            f"output: {folder} holds predictions made otherwise ({said}); give another output=FOLDER, "
            "or remove this one"
        )
    if added:
        write_json(path, former)
