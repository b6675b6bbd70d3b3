"""The registry's log: a line of JSON for all that was done, only ever added to.

Every line carries a hash of the line before it, so that a line that was changed or taken out is seen.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.core.disk.files import hash_json
from seglab.core.disk.places import filling

LOG = "log.jsonl"
ADDED, CHALLENGES = "added", "challenges"
PROMOTED, ROLLED_BACK = "promoted", "rolled back"
REFUSED, COMPARED = "refused", "compared"
CHANGES_CHAMPION = (PROMOTED, ROLLED_BACK)


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        number: From 1.
        time: When, ISO 8601 in UTC; never before the entry before.
        who: User and machine.
        what: added, challenges, promoted, rolled back, refused or compared.
        bundle: Id of the bundle it is about.
        why: In words; may be empty.
        champion: Id of the champion from then on; None where there is none.
        details: More facts, plain content.
        before: Hash of the entry before; empty for the first.
    """

    number: int
    time: str
    who: str
    what: str
    bundle: str
    why: str
    champion: str | None
    details: dict[str, Any] = field(default_factory=dict)
    before: str = ""

    @property
    def moment(self) -> datetime:
        """When, with its zone."""
        return datetime.fromisoformat(self.time)

    def to_dict(self) -> dict[str, Any]:
        """Return plain content."""
        return asdict(self)

    def follow(
        self, what: str, bundle: str, why: str, champion: str | None, details: dict[str, Any]
    ) -> Entry:
        """Return the entry after this one."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        time = max(now, self.time)
        before = hash_json(self.to_dict()) if self.number else ""
        return Entry(self.number + 1, time, _who(), what, bundle, why, champion, details, before)


NOTHING = Entry(0, "", "", "", "", "", None)


def read_entries(folder: Path) -> list[Entry]:
    """Return the entries of a registry's log; a line that a crash cut off is none."""
    return [entry for entry in _lines(folder / LOG) if entry is not None]


def append(folder: Path, entry: Entry) -> None:
    """Add an entry, on the disk before this returns; a line that a crash cut off is closed first.

    Raises:
        DiskFullError: There is no room for it.
    """
    path = folder / LOG
    line = json.dumps(entry.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"
    with filling(path), path.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            line = line if stream.read(1) == b"\n" else f"\n{line}"
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def log_problems(folder: Path) -> list[str]:
    """Return what is wrong with a log: lines changed, taken out, or in another order."""
    last, found = NOTHING, []
    for entry in read_entries(folder):
        expected = hash_json(last.to_dict()) if last.number else ""
        if entry.number != last.number + 1:
            found.append(f"{LOG}: entry {entry.number} stands behind entry {last.number}")
        elif entry.before != expected:
            found.append(
                f"{LOG}: entry {last.number or entry.number} was changed after it was written"
            )
        last = entry
    return found


def _lines(path: Path) -> Iterator[Entry | None]:
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError):
                yield None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # in a container, where the number has no name
    return f"{user}@{socket.gethostname()}"
