"""The folder of a study: what was asked, where its trials are, how each of them is named.

`runs/<experiment>/<study name>/` holds `study.json`, the journal (unless the trials are kept in a
database), the run records of the trials, and at the end tables, figures and the best configuration.
What the trials were and how they ended is in the storage, as attributes of Optuna's trials under
the names below. `seglab.runs.studies.study_storage` opens the storage; here nothing imports Optuna.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError, RunNotFoundError
from seglab.runs.studies.storage_place import JOURNAL, without_password

Direction = Literal["maximize", "minimize"]

STUDY_FILE = "study.json"
SCHEMA_VERSION = 1

# Attributes of a trial.
RUN_DIR = "run_dir"  # relative to the study's folder where it lies below
WORDS = "words"  # overrides that make the trial
OWNER = "owner"  # id of the controller that runs it; None: free to be taken
ATTEMPTS = "attempts"  # each start: worker, host, controller, started, ended, ending, steps, error
FIRST_STEP_S = "first_step_s"  # from the start of the process to its first training step
REASON = "reason"  # of a failure, a `FailureReason`
ERROR = "error"  # of a failure, in one line
TRACEBACK = "traceback"
ORIGIN = "warm"  # {study, number}: came from another study, not of the budget
VALUES = "values"  # of a finished trial, written before its state is
FAILED_VALUES = "failed_values"  # what was returned where it could not count
ENQUEUED = "enqueued"  # key of the setting that was asked for
# Attribute of a study: hash of the space whose settings were all tried.
EXHAUSTED = "exhausted"

SEED = "seed"  # key of a training's seed in its configuration
_SQLITE = re.compile(r"sqlite:///(?=[^/])")


@dataclass(frozen=True)
class StudyObjective:
    """One score that a study optimises.

    Attributes:
        metric: Key in the metrics of a run, such as `val/miou`.
        direction: maximize or minimize.
    """

    metric: str
    direction: Direction

    @property
    def maximises(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"

    @property
    def sign(self) -> float:
        """1 where more is better, else -1: a value times its sign is better when larger."""
        return 1.0 if self.maximises else -1.0


class StudyFolder:
    """Paths of a study, and what it was asked to do.

    Args:
        path: The folder; need not be there yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.json_path = self.path / STUDY_FILE
        self.journal_path = self.path / "journal.log"
        self.log_path = self.path / "study.log"
        self.trials_dir = self.path / "trials"
        self.trials_csv = self.path / "trials.csv"
        self.figures_dir = self.path / "figures"
        self.best_dir = self.path / "best"
        self.protocol_path = self.path / "protocol.json"

    def exists(self) -> bool:
        """Whether a study was started here."""
        return self.json_path.is_file()

    def read(self) -> dict[str, Any]:
        """Return what the study was asked to do.

        Raises:
            RunNotFoundError: No study was started here.
            DataError: The file is broken, or written by a newer seglab.
        """
        try:
            content = json.loads(self.json_path.read_bytes())
        except FileNotFoundError as error:
            raise RunNotFoundError(f"no study at {self.path}: it has no {STUDY_FILE}") from error
        except ValueError as error:
            raise DataError(f"{self.json_path} is broken: {error}") from error
        if not isinstance(content, dict) or "study_id" not in content:
            raise DataError(f"{self.json_path} is broken: it names no study_id")
        version = content.get("schema_version", SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise DataError(
                f"{self.json_path} has schema version {version}, this seglab reads up to "
                f"{SCHEMA_VERSION}; update seglab"
            )
        return content | {"storage": self._absolute(content.get("storage"))}

    def read_protocol(self) -> dict[str, Any] | None:
        """Return what is claimed of the winner; None before the study was concluded."""
        if not self.protocol_path.is_file():
            return None
        return dict(json.loads(self.protocol_path.read_bytes()))

    def write(self, content: Mapping[str, Any]) -> None:
        """Write what the study is asked to do, in one step; passwords in URLs are left out."""
        plain = _without_passwords({**content, "schema_version": SCHEMA_VERSION})
        plain["storage"] = self._lasting(str(plain.get("storage") or ""))
        write_json(self.json_path, plain)

    @property
    def study_id(self) -> str:
        """Name of the study in its storage: unique, where the folder's name need not be."""
        return str(self.read()["study_id"])

    @property
    def storage(self) -> str:
        """Where the trials are kept, without a password: `journal:PATH` or a URL."""
        return str(self.read()["storage"])

    def run_dir(self, number: int) -> Path:
        """Return the folder of a trial's run record."""
        return self.trials_dir / f"{self.study_id}-t{number:04d}"

    def _lasting(self, storage: str) -> str | None:
        """Name a storage so that it is found from anywhere, also when the folder was moved."""
        if _SQLITE.match(storage):
            return f"sqlite:///{Path(_SQLITE.sub('', storage)).absolute()}"
        if not storage.startswith(JOURNAL):
            return storage or None
        path = Path(storage.removeprefix(JOURNAL)).expanduser().absolute()
        home = self.path.absolute()
        return f"{JOURNAL}{path.relative_to(home) if path.is_relative_to(home) else path}"

    def _absolute(self, storage: str | None) -> str:
        if storage and not storage.startswith(JOURNAL):
            return storage
        name = (storage or "").removeprefix(JOURNAL) or self.journal_path.name
        return f"{JOURNAL}{(self.path / name).absolute()}"


def setting_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return what the words of a trial try, in whatever order: trials that differ by seed repeat it."""
    return tuple(sorted(word for word in words if word.lstrip("+").partition("=")[0] != SEED))


def all_there_are(settings: int, asked: int, searched: Collection[str]) -> str:
    """Say that a study has no more settings to try, and what to do for more trials.

    Args:
        settings: How many there are.
        asked: Trials asked for.
        searched: Keys of the space.
    """
    message = (
        f"{settings} settings are all there are, {asked} trials were asked for (study.n_trials)"
    )
    hint = "; to train each with several seeds give them too, such as seed=0,1,2"
    return message if SEED in searched else message + hint


def _without_passwords(content: Any) -> Any:
    if isinstance(content, str):
        return without_password(content)
    if isinstance(content, Mapping):
        return {key: _without_passwords(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_passwords(value) for value in content]
    return content
