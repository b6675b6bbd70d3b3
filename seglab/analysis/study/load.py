"""A study as one tidy table, a row a trial, read from its storage; nothing here writes to it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from seglab.analysis.study.attempts import (
    STATES,
    Attempt,
    Span,
    attempts_table,
    controller_lives,
    listed,
)
from seglab.analysis.study.parameters import ParamScale, param_scales
from seglab.analysis.tables import csv_table
from seglab.core.disk.files import atomic_path, hash_json
from seglab.core.errors import DataError
from seglab.runs.studies.study import (
    ERROR,
    EXHAUSTED,
    FIRST_STEP_S,
    ORIGIN,
    REASON,
    RUN_DIR,
    WORDS,
    StudyFolder,
    StudyObjective,
    setting_of,
)
from seglab.runs.studies.study_storage import open_study

PARAM = "params."
_LISTED = (
    "number state last_value last_step worker host started ended duration_s attempts first_step_s reason "
    "error run_dir run_id warm repeat_of"
).split()


@dataclass(frozen=True, eq=False)
class StudyView:
    """What a study's folder and storage held at one moment.

    Attributes:
        folder: The study's folder.
        asked: `study.json`: what the study was asked to do.
        objectives: In the order of a trial's values.
        trials: One row per trial of the budget; see `load_trials`.
        attempts: One row a start of a trial; see `attempts_table`.
        scales: How the values of each parameter lie on an axis, by name.
        frozen: The same trials as Optuna has them.
        warm: How many trials of other studies the sampler was told of.
        alive: Times in which the study ran; None where nobody kept them, see `controller_lives`.
        exhausted: Whether every setting of the space was tried.
    """

    folder: StudyFolder
    asked: Mapping[str, Any]
    objectives: tuple[StudyObjective, ...]
    trials: pd.DataFrame
    attempts: pd.DataFrame
    scales: Mapping[str, ParamScale]
    frozen: tuple[FrozenTrial, ...]
    warm: int
    alive: list[Span] | None
    exhausted: bool = False

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.asked.get("name") or self.folder.path.name)

    @property
    def budget(self) -> int | None:
        """How many trials there are to be, fewer than asked for where no setting is left; None: unknown."""
        number = self.asked.get("n_trials")
        most = len(self.frozen) if self.exhausted else math.inf
        return None if number is None else int(min(number, most))

    def finished(self, objective: int | None = None) -> pd.DataFrame:
        """Return the finished trials; with an objective those that have a value of it."""
        rows = self.trials[self.trials["state"] == "finished"]
        return rows if objective is None else rows[rows[self.objectives[objective].metric].notna()]

    def places(self, rows: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
        """Return where trials lie on the axis of a parameter; NaN where one has no such parameter.

        Args:
            rows: Of `trials`.
            name: Of the parameter.
        """
        by_number = {trial.number: trial for trial in self.frozen}
        return self.scales[name].values(by_number[number] for number in rows["number"])

    def in_memory(self, objective: int | None = None) -> optuna.Study:
        """Return a copy of the study that Optuna's own functions can work on.

        Numbers of trials stay as they are: where a trial of another study was, a failed one without
        parameters stands.

        Args:
            objective: Only this one of several; trials that lack it are left out.
        """
        chosen = self.objectives if objective is None else (self.objectives[objective],)
        own = {trial.number: trial for trial in self.frozen}
        trials = [
            _single(own.get(number), objective, len(chosen))
            for number in range(max(own, default=-1) + 1)
        ]
        return memory_study(trials, [one.direction for one in chosen], self.name)


def memory_study(
    trials: Sequence[FrozenTrial], directions: Sequence[str], name: str = "copy"
) -> optuna.Study:
    """Return a study in memory with these trials, in this order; says nothing in the log."""
    storage = optuna.storages.InMemoryStorage()
    ways = [optuna.study.StudyDirection[direction.upper()] for direction in directions]
    log = logging.getLogger(type(storage).__module__)
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        storage.create_new_study(ways, name)
    finally:
        log.setLevel(before)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    study.add_trials(trials)
    return study


def _single(trial: FrozenTrial | None, objective: int | None, values: int) -> FrozenTrial:
    if trial is None or not _has_values(trial, objective, values):
        return optuna.trial.create_trial(state=TrialState.FAIL)
    if objective is None or trial.values is None:
        return trial
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.values[min(objective, len(trial.values) - 1)],
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values=trial.intermediate_values,
    )


def _has_values(trial: FrozenTrial, objective: int | None, values: int) -> bool:
    if trial.state != TrialState.COMPLETE:
        return True
    wanted = values if objective is None else objective + 1
    return trial.values is not None and len(trial.values) >= wanted


def read_study(folder: StudyFolder | str | Path, warm: bool = False) -> StudyView:
    """Read a study as it is now; it may be running, and may have no trial yet.

    Args:
        folder: The study's folder.
        warm: Keep the trials that came from other studies.

    Raises:
        RunNotFoundError: The folder holds no study, or nothing of it is in its storage yet.
        DataError: `study.json` is broken, or does not fit the storage.
    """
    folder = as_folder(folder)
    asked = folder.read()
    study = open_study(folder)
    objectives = _objectives(asked, study)
    every = study.get_trials(deepcopy=False)
    kept = [trial for trial in every if warm or not trial.user_attrs.get(ORIGIN)]
    attempts = attempts_table(kept, study.user_attrs)
    return StudyView(
        folder=folder,
        asked=asked,
        objectives=objectives,
        trials=_table(folder, kept, objectives, attempts),
        attempts=attempts,
        scales=param_scales(kept),
        frozen=tuple(kept),
        warm=sum(bool(trial.user_attrs.get(ORIGIN)) for trial in every),
        alive=controller_lives(study.user_attrs, attempts),
        exhausted=study.user_attrs.get(EXHAUSTED) == hash_json(asked.get("space")),
    )


def as_folder(folder: StudyFolder | str | Path) -> StudyFolder:
    """Return the study's folder as what knows its paths; whether a study is in it shows on reading."""
    return folder if isinstance(folder, StudyFolder) else StudyFolder(folder)


def load_trials(folder: StudyFolder | str | Path, warm: bool = False) -> pd.DataFrame:
    """Return one row per trial.

    Args:
        folder: The study's folder.
        warm: Keep the trials that came from other studies; `warm` marks them.

    Returns:
        Columns number, state (finished, pruned, failed, running, waiting), a column for each
        objective named by its metric (finished trials only), last_value and last_step (what was
        reported last while it ran), worker and host (of the last attempt), started and ended (UTC),
        duration_s (time of work, all attempts together), attempts (how many), first_step_s (from
        the trial's start to its first training step), reason and error (of a failed one), run_dir,
        run_id, warm, repeat_of (number of the first trial with the same setting and another seed;
        missing where there is none before); then `params.*`, missing where a trial had no such
        parameter.
    """
    return read_study(folder, warm).trials


def write_trials_csv(folder: StudyFolder | str | Path) -> Path:
    """Write the table of trials, those of other studies marked, beside the study; return the path.

    For text that a spreadsheet would calculate see `seglab.core.text.escape.csv_text`.
    """
    folder = as_folder(folder)
    with atomic_path(folder.trials_csv) as temporary:
        temporary.write_text(csv_table(load_trials(folder, warm=True)), encoding="utf-8")
    return folder.trials_csv


def _objectives(asked: Mapping[str, Any], study: optuna.Study) -> tuple[StudyObjective, ...]:
    listed = asked.get("objectives") or []
    if not listed:
        raise DataError("expected at least one objective in study.json, got none")
    directions = [direction.name.lower() for direction in study.directions]
    stored = tuple(StudyObjective(str(one["metric"]), one["direction"]) for one in listed)
    if [one.direction for one in stored] != directions:
        raise DataError(
            f"study.json and the storage disagree: expected {[one.direction for one in stored]}, "
            f"the storage has {directions}; is the storage that of another study?"
        )
    return stored


def _table(
    folder: StudyFolder,
    trials: Sequence[FrozenTrial],
    objectives: Sequence[StudyObjective],
    attempts: pd.DataFrame,
) -> pd.DataFrame:
    by_trial: dict[int, list[Attempt]] = {}
    for one in listed(attempts):
        by_trial.setdefault(one.number, []).append(one)
    rows = [_row(folder, trial, objectives, by_trial.get(trial.number, [])) for trial in trials]
    metrics = [one.metric for one in objectives]
    names = [*_LISTED[:2], *metrics, *_LISTED[2:]]
    table = pd.DataFrame({name: [row.get(name) for row in rows] for name in names})
    for name in (*metrics, "last_value", "last_step", "duration_s", "first_step_s"):
        table[name] = pd.to_numeric(table[name]).astype(float)
    for name in ("started", "ended"):
        table[name] = pd.to_datetime(table[name].astype(float), unit="s", utc=True).dt.round("ms")
    table["repeat_of"] = pd.array(_repeated(trials), dtype="Int64")
    params = sorted({name for trial in trials for name in trial.params})
    columns = {
        f"{PARAM}{name}": _param_column([trial.params.get(name, math.nan) for trial in trials])
        for name in params
    }
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)


def _repeated(trials: Sequence[FrozenTrial]) -> list[int | None]:
    """Return for each trial the first one of the same setting; None where it is the first itself."""
    first: dict[tuple[str, ...], int] = {}
    found: list[int | None] = []
    for trial in trials:
        words = trial.user_attrs.get(WORDS)
        known = first.setdefault(setting_of(words), trial.number) if words else trial.number
        found.append(None if known == trial.number else known)
    return found


def _param_column(values: list[Any]) -> pd.Series:
    """Return numbers as numbers; what is of several kinds (4, "4", None, True) stays as it is."""
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    return pd.Series(values, dtype=None if numbers else object)


def _row(
    folder: StudyFolder,
    trial: FrozenTrial,
    objectives: Sequence[StudyObjective],
    attempts: Sequence[Attempt],
) -> dict[str, Any]:
    stored = trial.user_attrs
    row: dict[str, Any] = {"number": trial.number, "state": STATES[trial.state]}
    if trial.state == TrialState.COMPLETE:
        # A pruned trial has a value in Optuna too: its last report, no score of a whole training.
        metrics = (one.metric for one in objectives)
        row |= dict(zip(metrics, trial.values or (), strict=False))
    if trial.intermediate_values:
        row["last_step"] = max(trial.intermediate_values)
        row["last_value"] = trial.intermediate_values[row["last_step"]]
    if attempts:
        row |= {"worker": attempts[-1].worker, "host": attempts[-1].host}
        row["started"] = min(one.started for one in attempts)
        row["duration_s"] = sum(one.ended - one.started for one in attempts if not one.open)
        if trial.state.is_finished():
            row["ended"] = max(one.ended for one in attempts)
    row |= {name: stored.get(name) for name in (FIRST_STEP_S, REASON, ERROR)}
    row |= {"attempts": len(attempts), "warm": bool(stored.get(ORIGIN))}
    if stored.get(RUN_DIR):
        place = folder.path / str(stored[RUN_DIR])
        row |= {"run_dir": str(place), "run_id": place.name}
    return row
