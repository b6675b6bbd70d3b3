"""Trials that a study begins with: settings asked for, and what other studies found out before.

Both are added once, even if the process that adds them is killed half way and the study is resumed.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from seglab.core.disk.files import hash_json
from seglab.core.errors import ConfigError, DataError, RunNotFoundError
from seglab.runs.studies.study import ENQUEUED, ORIGIN, StudyFolder
from seglab.runs.studies.study_storage import open_study, own_trials
from seglab.sweep.ask.plan import StudyPlan

log = logging.getLogger(__name__)

# Attribute of a study: ids of the studies it has learnt from already.
_LEARNT = "warm_start"
_USEFUL = (TrialState.COMPLETE, TrialState.PRUNED)

# Turns a trial into the overrides that make it.
Suggest = Callable[[optuna.Trial], list[str]]


class UnfitError(ValueError):
    """Settings do not lie in the space of a study."""


def try_settings(
    suggest: Suggest, settings: Mapping[str, Any], sampler: BaseSampler, whole: bool = False
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Ask for a trial in memory, and return its parameters and what each was drawn from.

    Args:
        suggest: Makes the trial.
        settings: Parameters that are given; the sampler draws the others.
        sampler: Draws them.
        whole: Whether the settings must be all there is.

    Raises:
        UnfitError: A setting is of no parameter, lies outside of its range, or one is missing.
    """
    study = optuna.create_study(sampler=sampler)
    if settings:
        study.enqueue_trial(dict(settings))
    trial = study.ask()
    try:
        with warnings.catch_warnings():
            # A value out of range is an error below.
            warnings.simplefilter("ignore", UserWarning)
            suggest(trial)
    except ValueError as error:
        # What Optuna says of a choice that is none of its choices.
        raise UnfitError(str(error)) from error
    problems = [
        f"{name} lies outside of {_show(trial.distributions[name])}"
        if name in trial.params
        else f"{name} is no parameter of this study"
        for name, value in settings.items()
        if name not in trial.params or not _contains(trial.distributions[name], value)
    ]
    if whole:
        problems += [f"it has no {name}" for name in trial.params if name not in settings]
    if problems:
        raise UnfitError("; ".join(problems))
    return trial.params, trial.distributions


def enqueue_settings(
    study: optuna.Study, plan: StudyPlan, suggest: Suggest, sampler: BaseSampler
) -> None:
    """Add the settings of `plan.enqueue` that the study does not have yet, as waiting trials.

    Settings that leave nothing to be drawn and have a trial are not added once more; a log line says so.

    Raises:
        ConfigError: Settings do not lie in the space; all that are wrong are named.
    """
    own = own_trials(study.get_trials(deepcopy=False))
    known = {trial.user_attrs.get(ENQUEUED) for trial in own}
    missing = [(key, one) for key, one in _keyed(plan.enqueue) if key not in known]
    tried = [trial.params or trial.system_attrs.get("fixed_params") for trial in own]
    problems = []
    new = []
    for key, settings in missing:
        try:
            params, _ = try_settings(suggest, settings, sampler)
            if params == settings and settings in tried and not plan.may_repeat:
                log.info(
                    "study.enqueue: %s has a trial already and is not trained again", dict(settings)
                )
                continue
            new.append((key, settings))
            tried.append(dict(settings))
        except UnfitError as error:
            problems.append(f"study.enqueue: {settings}: {error}")
    if problems:
        raise ConfigError(problems)
    for key, settings in new:
        study.enqueue_trial(dict(settings), user_attrs={ENQUEUED: key})


def add_former_trials(study: optuna.Study, plan: StudyPlan, suggest: Suggest) -> None:
    """Add the trials of other studies that fit, for the sampler to learn from.

    They are marked as `warm`, with their origin; those that finished leave their reports behind,
    which pruners would else compare with epochs of this study.

    Raises:
        ConfigError: There is no study at one of the places.
    """
    learnt = list(study.user_attrs.get(_LEARNT, []))
    for place in plan.warm_start:
        folder = StudyFolder(place)
        try:
            source, asked = open_study(folder), folder.read()
        except (RunNotFoundError, DataError) as error:
            raise ConfigError(f"study.warm_start: {error}") from error
        if asked["study_id"] not in learnt:
            _learn(study, plan, suggest, source, asked)
            learnt.append(asked["study_id"])
            study.set_user_attr(_LEARNT, learnt)


def _learn(
    study: optuna.Study,
    plan: StudyPlan,
    suggest: Suggest,
    source: optuna.Study,
    asked: Mapping[str, Any],
) -> None:
    name = asked["study_id"]
    known = [trial.user_attrs.get(ORIGIN) for trial in study.get_trials(deepcopy=False)]
    former = [
        trial for trial in own_trials(source.get_trials(deepcopy=False)) if trial.state in _USEFUL
    ]
    unfit: Counter[str] = Counter()
    other = _other_objectives(plan, asked)
    for trial in former:
        origin = {"study": name, "number": trial.number}
        if origin in known:
            continue
        try:
            if other:
                raise UnfitError(other)
            study.add_trial(_warm_trial(trial, suggest, origin))
        except UnfitError as error:
            unfit[str(error)] += 1
    _log_left_out(name, len(former), unfit)


def _warm_trial(trial: FrozenTrial, suggest: Suggest, origin: Mapping[str, Any]) -> FrozenTrial:
    params, distributions = try_settings(suggest, trial.params, RandomSampler(seed=0), whole=True)
    finished = trial.state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=params,
        distributions=distributions,
        intermediate_values=None if finished else trial.intermediate_values,
        user_attrs={ORIGIN: dict(origin)},
    )


def _other_objectives(plan: StudyPlan, asked: Mapping[str, Any]) -> str | None:
    """Return in what way another study optimised something else; None where it did not."""
    ours = [(one.metric, one.direction) for one in plan.objectives]
    theirs = [(one["metric"], one["direction"]) for one in asked.get("objectives", [])]
    if ours == theirs:
        return None
    return "it optimised " + (", ".join(f"{d}:{m}" for m, d in theirs) or "something else")


def _log_left_out(name: str, total: int, unfit: Counter[str]) -> None:
    left_out = sum(unfit.values())
    log.info("study.warm_start: learns from %d trials of %s", total - left_out, name)
    if left_out:
        reasons = [f"{count} because {reason}" for reason, count in unfit.most_common(3)]
        more = f"; {len(unfit) - 3} further reasons" if len(unfit) > 3 else ""
        log.warning(
            "study.warm_start: %d of %d trials of %s were left out: %s%s",
            left_out,
            total,
            name,
            "; ".join(reasons),
            more,
        )


def _keyed(enqueue: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each setting with a key of its own; the same setting twice has two."""
    seen: Counter[str] = Counter()
    keyed = []
    for settings in enqueue:
        key = hash_json(settings)
        seen[key] += 1
        keyed.append((f"{key}-{seen[key]}", settings))
    return keyed


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def _show(distribution: BaseDistribution) -> str:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return f"choice({', '.join(map(str, choices))})"
    return f"{distribution.low:g} to {distribution.high:g}"  # type: ignore[attr-defined]
