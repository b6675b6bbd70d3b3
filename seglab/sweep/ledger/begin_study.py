"""Makes a study in its storage, or finds it there: what every controller does first."""

from __future__ import annotations

from optuna.storages import BaseStorage
from optuna.study import StudyDirection, create_study

from seglab.core.errors import ConfigError, DataError, RunNotFoundError
from seglab.runs.studies.study import StudyFolder
from seglab.runs.studies.study_storage import BudgetStudy, load_study, no_experimental_warnings
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.prior_trials import (
    Suggest,
    UnfitError,
    add_former_trials,
    enqueue_settings,
    try_settings,
)
from seglab.sweep.ask.samplers import build_sampler


def begin_study(
    folder: StudyFolder, plan: StudyPlan, storage: BaseStorage, suggest: Suggest
) -> BudgetStudy:
    """Return the study with the trials it begins with; call it under the study's lock.

    Args:
        folder: Has `study.json` already.
        plan: What the study asks for.
        storage: Where its trials are kept.
        suggest: Makes a trial.

    Raises:
        ConfigError: No trial can be made as asked for, or the study there has other objectives.
        DataError: The storage lost the study, while runs of its trials are there.
    """
    study_id = folder.study_id
    # An error now is better than one by the first trial.
    try:
        try_settings(suggest, {}, build_sampler(plan, 0))
    except UnfitError as error:
        raise ConfigError(f"study: no trial can be made: {error}") from error
    try:
        study = load_study(storage, study_id)
    except RunNotFoundError:
        _require_no_runs(folder, study_id)
        study = _create(plan, storage, study_id)
    _require_directions(study, plan)
    add_former_trials(study, plan, suggest)
    enqueue_settings(study, plan, suggest, build_sampler(plan, 0))
    return study


def _create(plan: StudyPlan, storage: BaseStorage, study_id: str) -> BudgetStudy:
    create_study(
        storage=storage,
        study_name=study_id,
        sampler=build_sampler(plan, 0),
        directions=[objective.direction for objective in plan.objectives],
    )
    study = load_study(storage, study_id)
    with no_experimental_warnings():
        study.set_metric_names([objective.metric for objective in plan.objectives])
    return study


def _require_no_runs(folder: StudyFolder, study_id: str) -> None:
    runs = sorted(path for path in folder.trials_dir.glob(f"{study_id}-t*") if path.is_dir())
    if runs:
        raise DataError(
            f"the storage of {folder.path} does not have the study any more, but {len(runs)} runs of "
            "its trials are there: bring the storage back (or say where it is: study.storage), or "
            "start a new study under another study.name"
        )


def _require_directions(study: BudgetStudy, plan: StudyPlan) -> None:
    asked = [StudyDirection[objective.direction.upper()] for objective in plan.objectives]
    if study.directions != asked:
        raise ConfigError(
            f"study.objectives: the study was started with {_show(study.directions)}, got "
            f"{_show(asked)}; give it another study.name"
        )


def _show(directions: list[StudyDirection]) -> str:
    return ", ".join(direction.name.lower() for direction in directions)
