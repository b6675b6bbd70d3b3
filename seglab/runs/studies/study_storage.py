"""Opens the storage of a study, and the study in it, for controllers and for readers."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import OperationalError

from seglab.core.errors import RunNotFoundError
from seglab.core.trial import TrialEnd
from seglab.runs.studies.journal import EmbeddedStorage, open_journal
from seglab.runs.studies.storage_place import Place, parse_storage
from seglab.runs.studies.study import ORIGIN, StudyFolder
from seglab.runs.studies.study_lock import study_lock

# The states in which a trial is over, as records and storages call them.
END_OF = {
    TrialState.COMPLETE: TrialEnd.FINISHED,
    TrialState.PRUNED: TrialEnd.PRUNED,
    TrialState.FAIL: TrialEnd.FAILED,
}


class BudgetStudy(optuna.Study):
    """An Optuna study that may know trials of other studies, but never counts them as its best.

    Attributes:
        exhausted: Whether its sampler said that there is nothing left to try. Optuna's own study
            takes that for an error outside of its own loop.
    """

    exhausted = False

    def stop(self) -> None:
        """Remember that the sampler has nothing left to try."""
        self.exhausted = True

    @property
    def best_trial(self) -> FrozenTrial:
        """The finished trial of this study with the best value.

        Raises:
            ValueError: No trial has finished yet.
        """
        finished = _finished_own(self.get_trials(deepcopy=False))
        if not finished:
            raise ValueError("No trials are completed yet.")
        sign = 1 if self.direction == StudyDirection.MAXIMIZE else -1
        return copy.deepcopy(max(finished, key=lambda trial: sign * trial.values[0]))

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The finished trials of this study that no other beats in every objective."""
        finished = _finished_own(self.get_trials(deepcopy=False))
        signs = [1 if one == StudyDirection.MAXIMIZE else -1 for one in self.directions]
        points = [
            tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
            for trial in finished
        ]
        return [
            copy.deepcopy(trial)
            for trial, point in zip(finished, points, strict=True)
            if not any(_dominates(other, point) for other in points)
        ]


def open_storage(spec: str, create: bool = True) -> BaseStorage:
    """Open a storage.

    Args:
        spec: `journal:PATH` or a URL, see `parse_storage`.
        create: Make the file, or the tables, where there are none yet.

    Raises:
        ConfigError: There is no such kind of storage, or its driver is not installed.
        StorageUnreachableError: The server does not answer, or does not let us in.
        RunNotFoundError: Nothing is there, and `create` is false.
        DataError: The journal is damaged.
    """
    place = parse_storage(spec)
    quieten()
    if place.path is not None:
        if not create and not place.path.exists():
            raise RunNotFoundError(f"no study in {place}: there is no such file")
        place.path.parent.mkdir(parents=True, exist_ok=True)
        if place.url is None:
            return open_journal(place.path)
    return _open_database(place)


def load_study(storage: BaseStorage, study_id: str) -> BudgetStudy:
    """Return a study of a storage.

    Raises:
        RunNotFoundError: The storage does not have it.
    """
    try:
        # Readers need no sampler; Optuna's default one takes long to make.
        return BudgetStudy(study_id, storage, sampler=optuna.samplers.RandomSampler(seed=0))
    except KeyError as error:
        raise RunNotFoundError(f"no study '{study_id}' in its storage yet") from error


def open_study(folder: StudyFolder | str | Path, storage: str | None = None) -> optuna.Study:
    """Open a study for reading: in notebooks, for figures and tables, while it runs or afterwards.

    Args:
        folder: Of the study.
        storage: The whole URL, where the study's has a password that this process does not know;
            else PGPASSWORD, ~/.pgpass or SEGLAB_STORAGE serve.

    Returns:
        The study; its best trials leave out those that came from other studies.

    Raises:
        RunNotFoundError: No study was started there, or nothing of it is in the storage yet.
        StorageUnreachableError: Its server does not answer, or does not let us in.
    """
    place = folder if isinstance(folder, StudyFolder) else StudyFolder(folder)
    asked = place.read()
    spec = storage or str(asked["storage"])
    return load_study(open_storage(spec, create=False), str(asked["study_id"]))


def own_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials of the study itself: all but those that came from other studies."""
    return [trial for trial in trials if not trial.user_attrs.get(ORIGIN)]


def written_together(storage: BaseStorage) -> AbstractContextManager[None]:
    """Write what the body changes to the disk in one go, where the storage is a file of ours."""
    return storage.journal.together() if isinstance(storage, EmbeddedStorage) else nullcontext()


def _open_database(place: Place) -> BaseStorage:
    place.engine().dispose()  # tells a missing driver before anything else
    try:
        # Two processes that make the tables at once would trip over each other.
        with study_lock(place.whole_url):
            database = RDBStorage(place.whole_url, engine_kwargs=place.engine_options)
    except OperationalError as error:
        raise place.unreachable(error) from error
    place.remember()
    return get_storage(database)


def quieten() -> None:
    """Keep Optuna's news of every trial off the console, and let it say each warning once.

    The study's own watch tells of trials. And samplers, which are made anew for each trial, would
    warn of the same parameter each time.
    """
    if optuna.logging.get_verbosity() == optuna.logging.INFO:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    for handler in logging.getLogger("optuna").handlers:
        if not any(isinstance(one, _Once) for one in handler.filters):
            handler.addFilter(_Once())


class _Once(logging.Filter):
    """Lets a message of Optuna through once, whatever trial it is about."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("optuna."):
            return True  # the handler may serve others, too
        message = re.sub(r"[Tt]rial\s*#?\d+", "", record.getMessage())
        is_new = message not in self._seen
        self._seen.add(message)
        return is_new


@contextmanager
def no_experimental_warnings() -> Iterator[None]:
    """Make things of Optuna that it calls experimental, without being told so each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _finished_own(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in own_trials(trials) if trial.state == TrialState.COMPLETE]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
