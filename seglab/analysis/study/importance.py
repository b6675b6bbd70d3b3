"""Which parameters mattered, and how far that can be trusted: fANOVA and PED-ANOVA with intervals.

fANOVA (Hutter, Hoos and Leyton-Brown, 2014) asks which share of the variance of the score over the
whole space a parameter explains; one region of failures can dominate it. PED-ANOVA (Watanabe, Bansal
and Hutter, 2023) asks in which parameters the best trials differ from the rest. Both take sampled
trials for the space, which samplers that learn do not visit evenly; so each is taken anew on
bootstrap samples of the trials, and the spread is shown.

References:
    Hutter, Hoos and Leyton-Brown (2014): https://proceedings.mlr.press/v32/hutter14.html
    Watanabe, Bansal and Hutter (2023): https://arxiv.org/abs/2304.10255
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import optuna
import pandas as pd
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import FrozenTrial

from seglab.analysis.study.load import StudyView, memory_study
from seglab.analysis.study.marks import NotDrawableError

Method = Literal["fANOVA", "PED-ANOVA"]
# Below, a forest fitted to the trials mostly repeats their noise.
RELIABLE_FROM = 30
_LEAST = 4
_RESAMPLES = 20
_MOST = 200


def importance_table(view: StudyView, objective: int = 0, seed: int = 0) -> pd.DataFrame:
    """Return how much each parameter matters for one objective, the most important first.

    Args:
        view: From `read_study`; finished trials count.
        objective: Which one, where there are several.
        seed: Of the forest and the bootstrap; the same seed gives the same numbers.

    Returns:
        Columns param, label, method (fANOVA, PED-ANOVA), importance (sums to 1 over the
        parameters of a method), low and high (10th and 90th percentile over bootstrap samples of
        the trials). fANOVA leaves out parameters that not every trial has.

    Raises:
        NotDrawableError: Fewer than four finished trials, no parameter with two values, or all
            trials have the same value.
    """
    return _table(view, objective, seed).copy()


@lru_cache(maxsize=8)
def _table(view: StudyView, objective: int, seed: int) -> pd.DataFrame:
    study = view.in_memory(objective)
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(trials) < _LEAST:
        raise NotDrawableError(f"{len(trials)} finished trials; importance needs at least {_LEAST}")
    varied = [
        name for name in view.scales if len({repr(trial.params.get(name)) for trial in trials}) > 1
    ]
    if not varied:
        raise NotDrawableError("no parameter took two values")
    if len({trial.value for trial in trials}) < 2:
        raise NotDrawableError("all finished trials have the same value")
    shared = [name for name in varied if all(name in trial.params for trial in trials)]
    rng = np.random.default_rng(seed)
    picks = [rng.integers(0, len(trials), min(len(trials), _MOST)) for _ in range(_RESAMPLES)]
    samples = [[trials[place] for place in pick] for pick in picks]
    asked: tuple[tuple[Method, list[str]], ...] = (("PED-ANOVA", varied), ("fANOVA", shared))
    parts = [_method(method, names, trials, samples, study.direction) for method, names in asked]
    known = [part for part in parts if part is not None]
    if not known:
        raise NotDrawableError("the finished trials do not tell the parameters apart")
    table = pd.concat(known, ignore_index=True)
    table.insert(1, "label", [view.scales[name].label for name in table["param"]])
    order = table.groupby("param")["importance"].mean().sort_values(ascending=False)
    table["rank"] = table["param"].map({name: place for place, name in enumerate(order.index)})
    return table.sort_values(["rank", "method"]).drop(columns="rank").reset_index(drop=True)


def ranked_params(view: StudyView, objective: int = 0) -> list[str]:
    """Return the parameters, the most important first; in order of appearance where unknown."""
    try:
        ranked = list(dict.fromkeys(importance_table(view, objective)["param"]))
    except NotDrawableError:
        ranked = []
    return [*ranked, *(name for name in view.scales if name not in ranked)]


def _method(
    method: Method,
    names: Sequence[str],
    trials: Sequence[FrozenTrial],
    samples: Sequence[Sequence[FrozenTrial]],
    direction: optuna.study.StudyDirection,
) -> pd.DataFrame | None:
    whole = _importances(method, names, trials, direction)
    if not whole:
        return None
    again = [_importances(method, names, sample, direction) for sample in samples]
    spread = pd.DataFrame([one for one in again if one], columns=list(names))
    return pd.DataFrame(
        {
            "param": list(names),
            "method": method,
            "importance": [whole.get(name, 0.0) for name in names],
            "low": [spread[name].quantile(0.1) for name in names],
            "high": [spread[name].quantile(0.9) for name in names],
        }
    )


def _importances(
    method: Method,
    names: Sequence[str],
    trials: Sequence[FrozenTrial],
    direction: optuna.study.StudyDirection,
) -> dict[str, float]:
    """Return importances that sum to 1; none where the trials say nothing."""
    # A bootstrap sample may lack the trials that have a parameter, or hold one value only.
    present = [name for name in names if any(name in trial.params for trial in trials)]
    if len({trial.value for trial in trials}) < 2 or not present:
        return {}
    study = memory_study(trials, [direction.name])
    with warnings.catch_warnings():
        # Optuna warns where it has no answer; then all are 0.
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = _evaluator(method, len(trials)).evaluate(study, params=present)
        except RuntimeError:
            # No tree of fANOVA's forest saw two different values, as happens with few trials.
            return {}
    total = sum(found.values())
    return {name: float(found.get(name, 0.0) / total) for name in names} if total > 0 else {}


def _evaluator(method: Method, count: int) -> BaseImportanceEvaluator:
    if method == "fANOVA":
        return FanovaImportanceEvaluator(n_trees=16, seed=0)
    # The best tenth, but at least ten trials: of fewer there is nothing to be learned.
    return PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 10 / count)))
