"""Builds the sampler and the pruner of a study from their `_target_`.

The sampler is built anew for each trial, with a seed that is a pure function of the study's seed
and the trial's number, so that what a trial tries depends on the trials before it and on nothing
that lives in a process: a resumed study draws the trials that it would have drawn without the
interruption. With one worker the same seed gives the same trials. Where a trial is asked for anew
(`turn`), because its setting was tried, that number counts too. What this does not cover:

- With several workers the order in which trials end is not fixed, and samplers that learn (TPE, GP,
  CMA-ES, NSGA) learn from what has ended.
- A controller that is killed while it draws a trial: QMC then leaves out one point.
- `HyperbandPruner(max_resource="auto")` sorts trials into brackets only once one has finished, and
  sorts them anew when the study is resumed; with a number it always sorts alike.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, QMCSampler, RandomSampler
from optuna.trial import FrozenTrial

from seglab.core.errors import ConfigError
from seglab.core.parts.nodes import build_node
from seglab.core.parts.plugins import TARGET
from seglab.runs.studies.study_storage import BudgetStudy, no_experimental_warnings
from seglab.sweep.ask.plan import StudyPlan

# For these the seed names a sequence or an order that all trials share.
_SEQUENCES = (QMCSampler, GridSampler)


def trial_seed(seed: int, number: int, turn: int = 0) -> int:
    """Return the seed of a trial's sampler: fixed by the study's seed and the trial's number."""
    text = f"{seed}/{number}/{turn}" if turn else f"{seed}/{number}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def build_sampler(plan: StudyPlan, number: int, turn: int = 0) -> BaseSampler:
    """Return the sampler that proposes one trial.

    Args:
        plan: Its `sampler` may set a `seed` of its own, which then stands for the study's.
        number: Of the trial.
        turn: How often it was asked for this trial before.

    Raises:
        ConfigError: `study.sampler` names no sampler, or one that cannot serve this study.
    """
    sampler = _built("study.sampler", plan.sampler, "sampler", plan.seed, (number, turn))
    if not isinstance(sampler, BaseSampler):
        raise ConfigError(
            f"study.sampler: expected a sampler of Optuna, got {plan.sampler[TARGET]}"
        )
    if isinstance(sampler, CmaEsSampler) and len(plan.objectives) > 1:
        raise ConfigError(
            "study.sampler: CmaEsSampler optimises one objective, got "
            f"{len(plan.objectives)}; use optuna.samplers.NSGAIISampler, TPESampler or GPSampler"
        )
    return sampler


def build_pruner(plan: StudyPlan) -> BasePruner:
    """Return the pruner; one that never prunes where the study has none.

    Raises:
        ConfigError: `study.pruner` names no pruner.
    """
    if plan.pruner is None:
        return NopPruner()
    pruner = _built("study.pruner", plan.pruner, "pruner", plan.seed, (0, 0))
    if not isinstance(pruner, BasePruner):
        raise ConfigError(f"study.pruner: expected a pruner of Optuna, got {plan.pruner[TARGET]}")
    return pruner


def prime_pruner(pruner: BasePruner, study: optuna.Study) -> None:
    """Let Hyperband set up its brackets now.

    By itself it does so when it first judges a trial. Until then a sampler is shown all trials as
    of one bracket, so what it proposes would depend on when the process was started. (Those of
    Optuna 5 look past the brackets, with `Study._get_trials`; others need not.)
    """
    if isinstance(pruner, HyperbandPruner):
        pruner.prune(study, optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))


def grid_size(plan: StudyPlan) -> int | None:
    """Return how many points a grid has; None for samplers that never run out of points."""
    if not isinstance(build_sampler(plan, 0), GridSampler):
        return None
    return math.prod(len(values) for values in plan.sampler["search_space"].values())


def grid_points(trials: Sequence[FrozenTrial]) -> int:
    """Return how many points of a grid were given to a trial; running ones count."""
    return len({trial.system_attrs.get("grid_id") for trial in trials} - {None})


def study_with(
    storage: Any, study_id: str, sampler: BaseSampler, pruner: BasePruner
) -> BudgetStudy:
    """Return the study as it asks for a trial."""
    study = BudgetStudy(study_id, storage, sampler=sampler, pruner=pruner)
    prime_pruner(pruner, study)
    return study


def _built(key: str, node: Any, group: str, seed: int, draw: tuple[int, int]) -> Any:
    """Build a node; samplers, also those inside it, get their seed."""
    with no_experimental_warnings():
        return build_node(key, node, group, lambda found, given: _seeds(found, given, seed, draw))


def _seeds(
    target: Any, arguments: Mapping[str, Any], seed: int, draw: tuple[int, int]
) -> dict[str, Any]:
    if not (inspect.isclass(target) and issubclass(target, BaseSampler)):
        return {}
    words = inspect.signature(target).parameters
    if "seed" not in words:
        return {}
    own = arguments.get("seed")
    base = seed if own is None else int(own)
    if not issubclass(target, _SEQUENCES):
        return {"seed": trial_seed(base, *draw)}
    if "independent_sampler" in words and "independent_sampler" not in arguments:
        # It would draw the same from the shared seed in each trial.
        independent = RandomSampler(seed=trial_seed(base, *draw))
        return {"seed": base, "independent_sampler": independent}
    return {"seed": base}
