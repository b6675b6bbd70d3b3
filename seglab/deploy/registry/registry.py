"""A registry of bundles: added, compared, promoted, taken back, and asked who answered when.

`aliases.json` is the truth, replaced in one step, and carries the entry of the log that made it what it
is. A process killed before the replacement leaves the old champion, one killed after it the new one; the
entry that it could not write any more is read from there, and written by whoever changes something next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, SoftFileLock, Timeout

from seglab.bundle.aliases import (
    ALIASES,
    BUNDLES,
    FORMAT,
    STATE,
    VERSION,
    bundle_ids,
    bundle_place,
    read_state,
)
from seglab.core.disk.files import write_json
from seglab.core.disk.places import placing
from seglab.core.errors import ConfigError, DataError
from seglab.deploy.registry.bundles import check_bundle, keep_bundle, read_bundle, sync_folder
from seglab.deploy.registry.log import (
    ADDED,
    CHALLENGES,
    CHANGES_CHAMPION,
    NOTHING,
    PROMOTED,
    ROLLED_BACK,
    Entry,
    append,
    log_problems,
    read_entries,
)

_LOCK_WAIT_S = 60.0


@dataclass(frozen=True)
class Registry:
    """A registry in a folder; every change holds its lock, reading takes none.

    Attributes:
        folder: Where it is; made by the first `add`.
    """

    folder: Path

    @property
    def aliases(self) -> dict[str, str | None]:
        """Ids by alias, as of now.

        Raises:
            ConfigError: There is no registry.
            DataError: It is damaged.
        """
        state = read_state(self.folder)
        return {name: state[name] for name in ALIASES}

    def entries(self) -> list[Entry]:
        """Return all that was done, in order.

        Raises:
            ConfigError: There is no registry.
            DataError: It is damaged.
        """
        return self._entries(read_state(self.folder))

    def place(self, name: str) -> Path:
        """Return the folder of the bundle with this alias or id.

        Raises:
            ConfigError: There is none.
        """
        return bundle_place(self.folder, name)

    def champion_at(self, time: datetime) -> Entry | None:
        """Return the entry that made the champion of a moment what it was; None: there was none.

        Raises:
            ConfigError: The moment is still to come.
        """
        if time > datetime.now(UTC):
            raise ConfigError(f"time: {time.isoformat()} is still to come")
        changes = [one for one in self.entries() if one.what in CHANGES_CHAMPION]
        return next((one for one in reversed(changes) if one.moment <= time), None)

    def add(self, bundle: Path, why: str = "", challenger: bool = True) -> str:
        """Copy a bundle into the registry, checked against its golden images, and return its id.

        Args:
            bundle: A folder or zip. One that is there already is not copied again.
            why: A note for the log.
            challenger: Whether it is the challenger from now on; never where it is the champion.

        Raises:
            DataError: The bundle is damaged, or predicts otherwise on this machine.
            PlaceError: The registry cannot be there.
        """
        files = read_bundle(bundle)
        name = hashlib.sha256(files["bundle.json"]).hexdigest()[:16]
        with placing(self.folder):
            (self.folder / BUNDLES).mkdir(parents=True, exist_ok=True)
        with self._changing(makes=True) as last:
            is_known = any(one.what == ADDED and one.bundle == name for one in self.entries())
            keep_bundle(self.folder / BUNDLES / name, files)
            if not is_known:
                last = self._note(last, ADDED, name, why, {"from": str(bundle.absolute())})
            aliases = self.aliases
            if challenger and name not in (aliases["champion"], aliases["challenger"]):
                self._set(last, CHALLENGES, name, why, {**aliases, "challenger": name})
        return name

    def promote(self, name: str, why: str = "", instead_of: str | None = None) -> str:
        """Make a bundle the champion and the champion the previous one, in one step.

        Args:
            name: Alias or id; the champion itself stays it, and nothing is written.
            why: A note for the log.
            instead_of: Id of the champion that it was held against; None: whichever there is.

        Returns:
            Its id.

        Raises:
            ConfigError: There is no such bundle.
            DataError: It is damaged, or `instead_of` is not the champion any more.
        """
        with self._changing() as last:
            found, aliases = self.place(name).name, self.aliases
            champion = aliases["champion"]
            if instead_of is not None and champion != instead_of:
                raise DataError(
                    f"{self.folder}: the champion is {champion} now, not {instead_of} that {found} was "
                    "compared with; compare again"
                )
            if found != champion:
                check_bundle(self.place(found))
                rival = None if aliases["challenger"] == found else aliases["challenger"]
                changed = {"champion": found, "previous": champion, "challenger": rival}
                self._set(last, PROMOTED, found, why, changed)
        return found

    def rollback(self, why: str = "") -> str:
        """Make the previous champion the champion again, and the one before it the previous one.

        Returns:
            Its id.

        Raises:
            ConfigError: There was no champion before.
            DataError: That one is damaged.
        """
        with self._changing() as last:
            line = self._line_of_champions()
            if len(line) < 2:
                raise ConfigError(f"{self.folder}: there is no champion before the present one")
            found = line[-2]
            check_bundle(self.place(found))
            previous = line[-3] if len(line) > 2 else None
            changed = {**self.aliases, "champion": found, "previous": previous}
            self._set(last, ROLLED_BACK, found, why, changed, {"instead_of": line[-1]})
        return found

    def note(self, what: str, bundle: str, why: str, details: Mapping[str, Any]) -> Entry:
        """Add an entry that changes no alias, such as a comparison or a refusal."""
        with self._changing() as last:
            return self._note(last, what, bundle, why, dict(details))

    def problems(self) -> list[str]:
        """Return all that is wrong: bundles that changed, aliases without one, a log that was edited."""
        found = log_problems(self.folder)
        for name in bundle_ids(self.folder):
            try:
                check_bundle(self.folder / BUNDLES / name)
            except DataError as error:
                found.append(str(error))
        there, state = bundle_ids(self.folder), read_state(self.folder)
        for alias in ALIASES:
            if state[alias] is not None and state[alias] not in there:
                found.append(f"{alias}: {state[alias]} is not in {self.folder / BUNDLES}")
        changes = [one for one in self._entries(state) if one.what in CHANGES_CHAMPION]
        said, is_same = changes[-1].champion if changes else None, read_state(self.folder) == state
        if said != state["champion"] and is_same:  # else another process changes it just now
            found.append(f"{STATE}: names {state['champion']} champion, the log {said}")
        return found

    def _entries(self, state: Mapping[str, Any]) -> list[Entry]:
        entries, last = read_entries(self.folder), state["last"]
        number = entries[-1].number if entries else 0
        return [*entries, *([Entry(**last)] if last and last["number"] > number else [])]

    def _line_of_champions(self) -> list[str]:
        line: list[str] = []
        for one in self.entries():
            if one.what == PROMOTED:
                line.append(one.bundle)
            elif one.what == ROLLED_BACK:
                line.pop()
        return line

    @contextmanager
    def _changing(self, makes: bool = False) -> Iterator[Entry]:
        """Hold the lock; yield the last entry, after what a killed process left was put in order."""
        if not makes:
            read_state(self.folder)
        try:
            with FileLock(self.folder / ".lock", timeout=_LOCK_WAIT_S) as lock:
                _require_lock(lock)
                if not (self.folder / STATE).is_file():
                    self._write_state(dict.fromkeys(ALIASES), None)
                entries, written = self.entries(), read_entries(self.folder)
                for entry in entries[len(written) :]:
                    append(self.folder, entry)
                yield entries[-1] if entries else NOTHING
        except Timeout as error:
            raise DataError(
                f"{self.folder}: another process changes it, and did not end in {_LOCK_WAIT_S:.0f} s"
            ) from error

    def _note(
        self, last: Entry, what: str, bundle: str, why: str, details: dict[str, Any]
    ) -> Entry:
        entry = last.follow(what, bundle, why, self.aliases["champion"], details)
        append(self.folder, entry)
        return entry

    def _set(
        self,
        last: Entry,
        what: str,
        bundle: str,
        why: str,
        aliases: Mapping[str, str | None],
        details: Mapping[str, Any] | None = None,
    ) -> None:
        entry = last.follow(what, bundle, why, aliases["champion"], dict(details or {}))
        self._write_state(aliases, entry)
        append(self.folder, entry)

    def _write_state(self, aliases: Mapping[str, str | None], last: Entry | None) -> None:
        """Replace the aliases: the one step that decides."""
        head = {"format": FORMAT, "version": VERSION}
        content = {**head, **aliases, "last": last.to_dict() if last else None}
        write_json(self.folder / STATE, content)
        sync_folder(self.folder)


def _require_lock(lock: FileLock) -> None:
    if isinstance(lock, SoftFileLock):
        raise ConfigError(
            f"registry: the file system of {lock.lock_file} has no locks (flock), so two processes "
            "could change it at once; use another folder"
        )
