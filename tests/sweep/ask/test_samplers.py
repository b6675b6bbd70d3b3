"""Samplers propose what an uninterrupted study would have; pruners judge what really was reported."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from seglab.core.errors import ConfigError
from seglab.runs.studies.study import WORDS, StudyFolder, StudyObjective
from seglab.runs.studies.study_storage import open_study
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.samplers import build_pruner, build_sampler, trial_seed
from seglab.sweep.ledger.ledger import Claim, Ledger, Outcome

SCRIPT = Path(__file__).parents[1] / "controller_process.py"
TRIALS = 15
GRID = {"x": [-1.0, 0.0, 1.0], "lr": [1e-3, 1e-2], "depth": [1, 2, 3]}
SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {"_target_": "optuna.samplers.RandomSampler"},
    "tpe": {
        "_target_": "optuna.samplers.TPESampler",
        "n_startup_trials": 4,
        "multivariate": True,
        "constant_liar": True,
    },
    "gp": {"_target_": "optuna.samplers.GPSampler", "n_startup_trials": 5},
    "cmaes": {"_target_": "optuna.samplers.CmaEsSampler", "popsize": 4},
    "nsga": {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 4},
    "qmc": {"_target_": "optuna.samplers.QMCSampler", "scramble": True},
    "grid": {"_target_": "optuna.samplers.GridSampler", "search_space": GRID},
    "brute": {"_target_": "optuna.samplers.BruteForceSampler"},
}
# Samplers of whole grids cannot draw from intervals.
DISCRETE = {"brute"}
Make = Callable[..., StudyPlan]


def suggest(trial: optuna.Trial) -> list[str]:
    x = trial.suggest_float("x", -1, 1)
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    depth = trial.suggest_int("depth", 1, 4)
    return [f"x={x!r}", f"lr={lr!r}", f"depth={depth}"]


def suggest_steps(trial: optuna.Trial) -> list[str]:
    return [f"x={trial.suggest_float('x', -1, 1, step=0.5)!r}", f"d={trial.suggest_int('d', 1, 4)}"]


def score(trial: optuna.Trial) -> float:
    params = {"lr": 0.0, "depth": 1, **trial.params}
    return -((params["x"] - 0.3) ** 2) - params["lr"] + params["depth"] / 10


def _run(ledger: Ledger, most: int = TRIALS) -> None:
    for _ in range(most):
        claim = ledger.claim("cpu 0")
        if claim is None:
            return
        ledger.tell(claim, Outcome("finished", [score(claim.trial)]))


def _words(folder: StudyFolder) -> list[list[str]]:
    return [trial.user_attrs[WORDS] for trial in open_study(folder).trials]


def _plan(make_plan: Make, name: str, **words: Any) -> StudyPlan:
    if name == "gp" and importlib.util.find_spec("torch") is None:
        pytest.skip("GPSampler needs torch")
    return make_plan(**{"n_trials": TRIALS, "sampler": SAMPLERS[name], "seed": 3, **words})


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in SAMPLERS],
)
def test_an_interrupted_study_proposes_what_the_whole_one_does(
    name: str, tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    propose = suggest_steps if name in DISCRETE else suggest
    plan = _plan(make_plan, name)
    whole, again, broken, other = (
        start_folder(tmp_path / one, "demo-abc123") for one in ("whole", "again", "broken", "other")
    )
    _run(Ledger(whole, plan, "c1", propose))
    _run(Ledger(again, plan, "c1", propose))
    assert len(_words(whole)) == TRIALS
    assert _words(again) == _words(whole)
    # One controller stops after seven trials; the next is killed while the eighth runs.
    first, second = Ledger(broken, plan, "c1", propose), Ledger(broken, plan, "c2", propose)
    _run(first, 7)
    assert isinstance(second.claim("cpu 0"), Claim)
    second.close()
    _run(Ledger(broken, plan, "c3", propose))
    assert _words(broken) == _words(whole)
    _run(Ledger(other, _plan(make_plan, name, seed=4), "c1", propose))
    assert _words(other) != _words(whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tpe", "cmaes", "nsga"])
def test_a_new_process_proposes_the_same(
    name: str, tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    plan = _plan(make_plan, name)
    whole, broken = (start_folder(tmp_path / one, "demo-abc123") for one in ("whole", "broken"))
    _run(Ledger(whole, plan, "c1", suggest))
    _run(Ledger(broken, plan, "c1", suggest), 7)
    options = {"controller": "c2", "sampler": plan.sampler, "n_trials": TRIALS, "seed": 3}
    subprocess.run([sys.executable, SCRIPT, broken.path, json.dumps(options)], check=True)
    assert _words(broken) == _words(whole)


@pytest.mark.slow
def test_a_server_gives_the_same_trials_as_a_journal(
    tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make, postgres_url: str
) -> None:
    plan = _plan(make_plan, "cmaes", n_trials=10)
    here, there = (start_folder(tmp_path / one, "demo-abc123") for one in ("here", "there"))
    there.write({**there.read(), "storage": postgres_url})
    _run(Ledger(here, plan, "c1", suggest))
    _run(Ledger(there, replace(plan, storage=postgres_url), "c1", suggest))
    assert _words(there) == _words(here)
    values = [trial.value for trial in open_study(here).trials]
    assert [trial.value for trial in open_study(there).trials] == values


@pytest.mark.parametrize("name", ["tpe", "cmaes", "nsga"])
def test_a_kill_between_two_parameters_changes_nothing(
    name: str, tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    plan = _plan(make_plan, name, n_trials=10)
    whole, broken = (start_folder(tmp_path / one, "demo-abc123") for one in ("whole", "broken"))
    _run(Ledger(whole, plan, "c1", suggest))

    def killed(trial: optuna.Trial) -> list[str]:
        trial.suggest_float("x", -1, 1)
        if trial.number in (2, 7) and "controller:c1" in trial.study.user_attrs:
            raise KeyboardInterrupt
        return suggest(trial)

    ledger = Ledger(broken, plan, "c1", killed)
    with pytest.raises(KeyboardInterrupt):
        _run(ledger)
    assert open_study(broken).trials[2].params == {}, "nothing half made is stored"
    ledger.close()
    ledger = Ledger(broken, plan, "c2", suggest)
    _run(ledger, 5)
    ledger.close()
    _run(Ledger(broken, plan, "c3", suggest))
    assert _words(broken) == _words(whole)


def test_seeds_of_trials_are_fixed_for_all_time() -> None:
    assert [trial_seed(0, 0), trial_seed(0, 1), trial_seed(1, 0)] == [
        713_683_445,
        1_419_524_863,
        208_367_845,
    ]
    seeds = {trial_seed(seed, number) for seed in range(10) for number in range(1000)}
    assert len(seeds) == 10_000
    assert max(seeds) < 2**31


def test_trials_of_a_sequence_share_it_and_the_others_do_not(make_plan: Make) -> None:
    qmc = make_plan(sampler=SAMPLERS["qmc"], seed=5)
    assert [build_sampler(qmc, number)._seed for number in (0, 9)] == [5, 5]  # type: ignore[attr-defined]
    # Where QMC falls back to random numbers, each trial has its own.
    drawn = {build_sampler(qmc, number)._independent_sampler._rng.rng.rand() for number in range(9)}  # type: ignore[attr-defined]
    assert len(drawn) == 9
    own = make_plan(sampler={**SAMPLERS["random"], "seed": 7}, seed=5)
    expected = optuna.samplers.RandomSampler(seed=trial_seed(7, 4))._rng.rng.rand()
    assert build_sampler(own, 4)._rng.rng.rand() == expected  # type: ignore[attr-defined]


def test_nodes_inside_are_built_too(make_plan: Make) -> None:
    nested = {
        "_target_": "optuna.samplers.NSGAIISampler",
        "population_size": 8,
        "crossover": {"_target_": "optuna.samplers.nsgaii.SBXCrossover", "eta": 2.0},
    }
    sampler = build_sampler(make_plan(sampler=nested), 0)
    crossover = sampler._child_generation_strategy._crossover  # type: ignore[attr-defined]
    assert type(crossover).__name__ == "SBXCrossover"
    inner = {"_target_": "optuna.samplers.RandomSampler"}
    fixed = {"_target_": "optuna.samplers.PartialFixedSampler", "_args_": [{"x": 0.5}, inner]}
    base = build_sampler(make_plan(sampler=fixed), 3)._base_sampler  # type: ignore[attr-defined]
    assert base._rng.rng.rand() == np.random.RandomState(trial_seed(0, 3)).rand()
    weights = {"_target_": "optuna.samplers._tpe.sampler.default_weights", "_partial_": True}
    tpe = {"_target_": "optuna.samplers.TPESampler", "weights": weights}
    with pytest.warns(FutureWarning):
        sampler = build_sampler(make_plan(sampler=tpe), 0)
    assert list(sampler._parzen_estimator_parameters.weights(2)) == [1.0, 1.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, "study.sampler: expected _target_ and arguments"),
        ({"_target_": "optuna.samplers.TPESamplr"}, "no 'TPESamplr' .did you mean 'TPESampler'"),
        ({"_target_": "optunna.TPESampler"}, "'optunna' is not named on this machine"),
        ({"_target_": "TPESampler"}, "expected package.module.name, got 'TPESampler'"),
        (
            {"_target_": "optuna.samplers.TPESampler", "n_start": 1},
            "unexpected keyword argument 'n_start'",
        ),
        ({"_target_": "optuna.pruners.NopPruner"}, "expected a subclass of optuna's BaseSampler"),
    ],
)
def test_a_sampler_that_is_none_says_so(make_plan: Make, node: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_sampler(make_plan(sampler=node), 0)


def test_other_wrong_choices_say_so(make_plan: Make) -> None:
    with pytest.raises(ConfigError, match="expected a subclass of optuna's BasePruner"):
        build_pruner(make_plan(pruner=SAMPLERS["random"]))
    two = (StudyObjective("a", "maximize"), StudyObjective("b", "minimize"))
    with pytest.raises(ConfigError, match="CmaEsSampler optimises one objective, got 2"):
        build_sampler(make_plan(sampler=SAMPLERS["cmaes"], objectives=two), 0)


def test_no_warnings_of_experimental_features(
    make_plan: Make, recwarn: pytest.WarningsRecorder
) -> None:
    build_sampler(make_plan(sampler=SAMPLERS["tpe"]), 0)
    build_sampler(make_plan(sampler=SAMPLERS["brute"]), 0)
    build_pruner(make_plan(pruner={"_target_": "optuna.pruners.WilcoxonPruner"}))
    assert [str(one.message) for one in recwarn] == []


def _reported(ledger: Ledger, scores: list[float]) -> int | None:
    """Report scores of a new trial; return the step at which it was given up."""
    claim = ledger.claim("cpu 0")
    assert claim is not None
    for step, value in enumerate(scores):
        if ledger.report(claim, value, step):
            ledger.tell(claim, Outcome("pruned"))
            return step
    ledger.tell(claim, Outcome("finished", [float(np.nanmean(scores))]))
    return None


def test_wilcoxon_gives_up_on_folds_that_are_worse_in_each(
    folder: StudyFolder, make_plan: Make
) -> None:
    pruner = {"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.1}
    ledger = Ledger(folder, make_plan(pruner=pruner), "c1", suggest)
    best = [0.70, 0.62, 0.75, 0.66, 0.71, 0.69]
    assert _reported(ledger, best) is None
    # Four differences of one sign are the first whose exact one-sided p, 1/16, is below 0.1.
    assert _reported(ledger, [value - 0.05 for value in best]) == 3
    assert _reported(ledger, [value + 0.05 for value in best]) is None
    mixed = [value + (0.04 if place % 2 else -0.03) for place, value in enumerate(best)]
    assert _reported(Ledger(folder, make_plan(pruner=pruner), "c2", suggest), mixed) is not None
    assert open_study(folder).best_trial.number == 2


def test_wilcoxon_compares_with_folds_of_this_study_only(
    folder: StudyFolder, tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    former = start_folder(tmp_path / "former", "former-000000")
    _run(Ledger(former, make_plan(n_trials=1), "c1", suggest))
    pruner = {"_target_": "optuna.pruners.WilcoxonPruner"}
    plan = make_plan(pruner=pruner, warm_start=(str(former.path),))
    ledger = Ledger(folder, plan, "c1", suggest)
    # The former trial is far better, but has no folds to be compared with.
    assert _reported(ledger, [-9.70, -9.62, -9.75, -9.66, -9.71]) is None
    assert _reported(ledger, [-9.75, -9.67, -9.80, -9.71, -9.76]) == 3


def test_median_compares_with_the_trials_before(folder: StudyFolder, make_plan: Make) -> None:
    pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2, "n_warmup_steps": 1}
    ledger = Ledger(folder, make_plan(pruner=pruner), "c1", suggest)
    assert _reported(ledger, [0.5, 0.6]) is None
    assert _reported(ledger, [0.4, 0.5]) is None
    assert _reported(ledger, [0.1, 0.1]) == 1
    assert _reported(ledger, [math.nan, 0.9]) is None
    states = [trial.state for trial in open_study(folder).trials]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.PRUNED, TrialState.COMPLETE]


def _halved(ledger: Ledger, most: int) -> list[tuple[int, int | None]]:
    """Run trials of nine epochs, better or worse by their number; return when each was given up."""
    ended = []
    for _ in range(most):
        claim = ledger.claim("cpu 0")
        if claim is None:
            break
        worth = (claim.number * 7 % 10) / 10
        stop = None
        for step in range(1, 10):
            if ledger.report(claim, worth * step, step):
                stop = step
                break
        pruned = Outcome("pruned") if stop else Outcome("finished", [worth])
        ledger.tell(claim, pruned)
        ended.append((claim.number, stop))
    return ended


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_hyperband_goes_on_alike_in_a_new_process(
    sampler: str, tmp_path: Path, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    pruner = {"_target_": "optuna.pruners.HyperbandPruner", "max_resource": 9, "min_resource": 1}
    plan = make_plan(pruner=pruner, sampler=SAMPLERS[sampler], n_trials=24)
    whole, broken = (start_folder(tmp_path / one, "demo-abc123") for one in ("whole", "broken"))
    ended = _halved(Ledger(whole, plan, "c1", suggest), 24)
    halves = _halved(Ledger(broken, plan, "c1", suggest), 11)
    halves += _halved(Ledger(broken, plan, "c2", suggest), 24)
    assert halves == ended
    assert _words(broken) == _words(whole)
    stops = {stop for _, stop in ended}
    # Three brackets: they judge for the first time after 1, 3 and 9 epochs.
    assert {1, 3, 9} <= stops


def test_hyperband_sorts_trials_before_it_has_judged_one(
    folder: StudyFolder, make_plan: Make
) -> None:
    pruner = {"_target_": "optuna.pruners.HyperbandPruner", "max_resource": 9}
    ledger = Ledger(folder, make_plan(pruner=pruner), "c1", suggest)
    claim = ledger.claim("cpu 0")
    assert claim is not None
    assert len(claim.trial.study.pruner._pruners) == 3  # type: ignore[attr-defined]
