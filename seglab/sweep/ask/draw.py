"""Draws what a trial tries: a setting that no other trial of its study has.

The same words with the same seed give the same training, so a setting that was tried, or is being
tried, is not drawn again, however its trial ended. The study's sampler is asked anew a few times; then
one of the settings that are left is taken, where they can be gone through one by one. Trials of other
studies (`study.warm_start`) do not count: they are not trainings of this one.

Optuna's samplers may draw a setting again. Nothing of a trial is stored before all of it is drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BruteForceSampler, RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from seglab.core.errors import SeglabError
from seglab.runs.studies.study import WORDS
from seglab.runs.studies.study_storage import BudgetStudy, no_experimental_warnings, own_trials
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.prior_trials import Suggest
from seglab.sweep.ask.samplers import build_sampler, trial_seed

# How often the study's sampler is asked for a setting that is new, and then chance where the settings
# have no end.
_MOST_ASKED, _MOST_BY_CHANCE = 8, 100
# Values of one parameter that are still gone through one by one.
_MOST_VALUES = 10_000
# Where Optuna keeps parameters that a trial is given rather than draws.
_GIVEN = "fixed_params"


class NothingNewError(SeglabError, RuntimeError):
    """Every setting that was drawn for a trial has been tried.

    Args:
        is_given: Whether the setting was asked for, rather than drawn.
        message: For people.
    """

    def __init__(self, message: str, is_given: bool) -> None:
        super().__init__(message)
        self.is_given = is_given


class _EndlessError(ValueError):
    """The settings cannot be gone through one by one."""


def tried_settings(everything: Sequence[FrozenTrial]) -> dict[tuple[str, ...], int]:
    """Return the settings of a study's own trials, and the first trial that has each."""
    tried: dict[tuple[str, ...], int] = {}
    for trial in own_trials(everything):
        if WORDS in trial.user_attrs:
            tried.setdefault(_as_key(trial.user_attrs[WORDS]), trial.number)
    return tried


def draw(
    trial: optuna.Trial, plan: StudyPlan, suggest: Suggest, everything: Sequence[FrozenTrial]
) -> tuple[optuna.Trial, list[str]]:
    """Draw the parameters of a trial, store them, and return the trial with its words.

    Args:
        trial: As its study's sampler proposes it.
        plan: What the study asks for.
        suggest: Makes the trial.
        everything: All trials of the study.

    Raises:
        NothingNewError: No draw gave a setting that is new; no parameter is stored.
    """
    tried = {} if plan.may_repeat else tried_settings(everything)
    storage = trial.storage
    same = None
    for draft in _drafts(trial, plan, suggest, everything):
        draft.storage = _Unstored(storage)  # type: ignore[assignment]
        # The storage's own object, which it would be drawn into.
        draft._cached_frozen_trial = copy.deepcopy(draft._cached_frozen_trial)
        words = list(suggest(draft))
        same = tried.get(_as_key(words))
        if same is None:
            _store(draft, storage)
            draft.study = trial.study
            return draft, words
    given = bool(_given(trial, storage))
    raise NothingNewError(f"it would repeat trial {same}, words and seed alike", given)


def untried(
    suggest: Suggest, everything: Sequence[FrozenTrial], seed: int
) -> dict[str, Any] | None:
    """Return the parameters of a setting that no trial has, by chance; None where all are tried.

    Args:
        suggest: Makes a trial.
        everything: All trials of the study.
        seed: Of the choice.

    Raises:
        ValueError: The settings cannot be gone through one by one.
    """
    _listed(suggest, (), seed)  # the cheap way to an interval, with no trial looked at
    return _listed(suggest, own_trials(everything), seed)


def _listed(suggest: Suggest, trials: Sequence[FrozenTrial], seed: int) -> dict[str, Any] | None:
    tried = tried_settings(trials)
    storage = InMemoryStorage()
    optuna.create_study(storage=storage, study_name="untried")
    with no_experimental_warnings():
        study = BudgetStudy("untried", storage, sampler=_OneByOne(seed))
    for one in trials:
        if WORDS in one.user_attrs:
            study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.COMPLETE,
                    value=0.0,
                    params=one.params,
                    distributions=one.distributions,
                )
            )
    while not study.exhausted:
        trial = study.ask()
        try:
            words = suggest(trial)
        except Exception as error:  # a function of the user's, which may wrap ours
            raise _EndlessError(str(error)) from error
        if _as_key(words) not in tried:
            return trial.params
        study.tell(trial, 0.0)
    return None


class _OneByOne(BruteForceSampler):
    """Goes through the settings of a space that has an end."""

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value that leads to something new; no interval has one after the other."""
        one: Any = param_distribution
        if not isinstance(one, CategoricalDistribution) and (
            one.step is None or (one.high - one.low) / one.step > _MOST_VALUES
        ):
            raise _EndlessError(f"{param_name} has no end of values")
        return super().sample_independent(study, trial, param_name, param_distribution)


class _Unstored:
    """A storage to which the parameters of a trial that is being drawn are not written."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_param(self, *_: object) -> None:
        """Leave it to the trial itself, which remembers what it drew."""


def _drafts(
    trial: optuna.Trial, plan: StudyPlan, suggest: Suggest, everything: Sequence[FrozenTrial]
) -> Iterator[optuna.Trial]:
    """Yield the trial as it was asked for, then others in its place."""
    study, storage, trial_id = trial.study, trial.storage, trial._trial_id

    def again(sampler: optuna.samplers.BaseSampler) -> optuna.Trial:
        other = BudgetStudy(study.study_name, storage, sampler=sampler, pruner=study.pruner)
        return optuna.Trial(other, trial_id)

    yield trial
    for turn in range(1, _MOST_ASKED):
        yield again(build_sampler(plan, trial.number, turn))
    seed = trial_seed(plan.seed, trial.number, _MOST_ASKED)
    try:
        if _given(trial, storage):
            raise _EndlessError("what was asked for stays")
        left = untried(suggest, everything, seed)
    except ValueError:
        for turn in range(_MOST_BY_CHANCE):
            yield again(RandomSampler(seed=seed + turn))
        return
    if left is not None:
        storage.set_trial_system_attr(trial_id, _GIVEN, left)
        yield again(RandomSampler(seed=seed))


def _given(trial: optuna.Trial, storage: BaseStorage) -> Mapping[str, Any]:
    attributes: Mapping[str, Any] = storage.get_trial(trial._trial_id).system_attrs
    return dict(attributes.get(_GIVEN, {}))


def _store(trial: optuna.Trial, storage: BaseStorage) -> None:
    """Write what was drawn; who is killed half way has left all of it in the first line written."""
    there = storage.get_trial(trial._trial_id).distributions
    params = trial.params
    if params:
        storage.set_trial_system_attr(trial._trial_id, _GIVEN, params)
    for name, distribution in trial.distributions.items():
        if name not in there:
            held = distribution.to_internal_repr(params[name])
            storage.set_trial_param(trial._trial_id, name, held, distribution)
    trial.storage = storage


def _as_key(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(words))
