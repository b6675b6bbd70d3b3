"""The folder of one retraining, so that the same words go on where a killed process stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seglab.core.disk.files import hash_json, write_json
from seglab.core.disk.places import placing
from seglab.core.errors import ConfigError, DataError
from seglab.deploy.retrain.options import RetrainOptions

FILE = "retrain.json"
# These say where things are, not what is made of them.
_ELSEWHERE = ("registry", "runs_dir", "output", "dry_run")


@dataclass
class State:
    """What is known so far; every step writes it.

    Attributes:
        folder: Where it is kept.
        content: Plain content: key, champion, holdout, run, challenger, decision and so on.
    """

    folder: Path
    content: dict[str, Any] = field(default_factory=dict)

    def set(self, **facts: Any) -> None:
        """Add facts, on the disk before this returns."""
        self.content |= facts
        write_json(self.folder / FILE, self.content)

    def get(self, name: str) -> Any:
        """Return a fact; None: not known yet."""
        return self.content.get(name)


def key_of(options: RetrainOptions, data: str, champion: str, holdout: str) -> str:
    """Return what tells one retraining from another: words, data, champion and holdout."""
    words = {name: one for name, one in options.to_dict().items() if name not in _ELSEWHERE}
    return hash_json([words, data, champion, holdout])


@contextmanager
def open_state(folder: Path, key: str) -> Iterator[State]:
    """Yield the state of a retraining, which is this process's alone meanwhile.

    Raises:
        ConfigError: The folder is of another retraining.
        DataError: Another process works in it, or it is damaged.
        PlaceError: No folder can be there.
    """
    with placing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            state = State(folder, _read(folder / FILE))
            if state.get("key") not in (None, key):
                raise ConfigError(
                    f"output: {folder} is of another retraining (other words, data, holdout or "
                    "champion); give another output=FOLDER, or remove this one"
                )
            yield state
    except Timeout as error:
        raise DataError(f"{folder}: another process retrains there") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged; remove its folder to begin again") from error
