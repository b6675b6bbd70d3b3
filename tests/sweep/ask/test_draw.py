"""No study trains one setting twice with the same seed: another one is tried, or it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from seglab.analysis.study import best_trials, read_study, study_report, study_summary
from seglab.core.errors import ConfigError
from seglab.runs.studies.study import ERROR, EXHAUSTED, StudyFolder
from seglab.runs.studies.study_storage import open_study
from seglab.sweep.ask.draw import untried
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.space import parse_space, suggest
from seglab.sweep.ledger.ledger import Ledger, Outcome
from seglab.sweep.watch.tally import Best, Scored

Make = Callable[..., StudyPlan]
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
TPE = {
    "_target_": "optuna.samplers.TPESampler",
    "n_startup_trials": 2,
    "multivariate": True,
    "group": True,
    "constant_liar": True,
}
SAMPLERS = {
    "random": RANDOM,
    "tpe": TPE,
    "brute": {"_target_": "optuna.samplers.BruteForceSampler"},
    "nsga": {"_target_": "optuna.samplers.NSGAIISampler", "population_size": 4},
    "cmaes": {"_target_": "optuna.samplers.CmaEsSampler", "popsize": 4},
    "grid": {"_target_": "optuna.samplers.GridSampler", "search_space": {"lr": [1e-3, 2e-3]}},
}
LR = {"lr": "choice(1e-3, 2e-3)"}


def deeper(trial: optuna.Trial, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Five settings: a, and b with a depth of 1 to 4."""
    if chosen["model"] == "a":
        return {}
    return {"depth": trial.suggest_int("depth", 1, 4)}


def idle(trial: optuna.Trial, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Asks for what it does not use: no end of parameters, few settings."""
    trial.suggest_float("unused", 0, 1)
    return {}


def failing(trial: optuna.Trial, chosen: Mapping[str, Any]) -> dict[str, Any]:
    raise KeyError("depth")


def _ledger(folder: StudyFolder, plan: StudyPlan, controller: str = "c1") -> Ledger:
    space = parse_space(plan.space)
    return Ledger(folder, plan, controller, lambda trial: suggest(trial, space, plan.conditional))


def _run(ledger: Ledger, most: int = 100) -> list[list[str]]:
    """Run the trials there are; those of a larger lr are better."""
    words = []
    while len(words) < most and (claim := ledger.claim("cpu 0")) is not None:
        words.append(claim.words)
        ledger.tell(claim, Outcome("finished", [float(len(words))]))
    return words


@pytest.mark.parametrize("name", SAMPLERS)
def test_two_settings_make_two_trials(name: str, folder: StudyFolder, make_plan: Make) -> None:
    ledger = _ledger(folder, make_plan(n_trials=5, sampler=SAMPLERS[name], space=LR))
    assert ledger.counts().budget == 2
    assert sorted(_run(ledger)) == [["lr=0.001"], ["lr=0.002"]]
    assert (ledger.counts().finished, ledger.counts().budget) == (2, 2)
    assert not ledger.is_open()


@pytest.mark.parametrize("name", ["random", "tpe", "nsga"])
def test_a_space_that_is_larger_than_the_budget_is_not_repeated(
    name: str, folder: StudyFolder, make_plan: Make
) -> None:
    space = {"n": "range(0, 6)", "loss": "choice(ce, dice)"}
    ledger = _ledger(folder, make_plan(n_trials=11, sampler=SAMPLERS[name], space=space))
    words = _run(ledger)
    assert len(words) == 11
    assert len({tuple(one) for one in words}) == 11
    assert ledger.counts().budget == 11
    assert EXHAUSTED not in open_study(folder).user_attrs


@pytest.mark.parametrize("name", ["random", "tpe", "brute"])
def test_a_conditional_space_ends_when_it_is_used_up(
    name: str, folder: StudyFolder, make_plan: Make
) -> None:
    plan = make_plan(
        n_trials=20,
        sampler=SAMPLERS[name],
        space={"model": "choice(a, b)"},
        conditional={"_target_": f"{__name__}.deeper"},
    )
    ledger = _ledger(folder, plan)
    assert ledger.counts().budget == 20
    deep = [["model=b", f"depth={depth}"] for depth in range(1, 5)]
    assert sorted(_run(ledger)) == sorted([["model=a"], *deep])
    assert ledger.counts().budget == 5
    assert [trial.state for trial in open_study(folder).trials] == [TrialState.COMPLETE] * 5


def test_several_workers_and_sittings_share_the_settings(
    folder: StudyFolder, make_plan: Make
) -> None:
    plan = make_plan(n_trials=9, sampler=TPE, space={"n": "range(0, 6)"})
    ledgers = [_ledger(folder, plan, f"c{number}") for number in range(2)]
    claims = [ledgers[number % 2].claim("cpu 0") for number in range(4)]
    words = [claim.words for claim in claims if claim]
    for number, claim in enumerate(claims):
        assert claim is not None
        # However a trial ends, its setting with its seed would end so again.
        end = Outcome("pruned") if number else Outcome("failed", reason="nan", error="NaN")
        ledgers[number % 2].tell(claim, end)
    for ledger in ledgers:
        ledger.close()
    words += _run(_ledger(folder, plan, "c3"))
    assert sorted(words) == [[f"n={number}"] for number in range(6)]
    assert _run(_ledger(folder, replace(plan, n_trials=30), "c4")) == []


def test_a_study_that_repeated_itself_before_goes_on_with_what_is_left(
    folder: StudyFolder, make_plan: Make
) -> None:
    plan = make_plan(n_trials=4, sampler=RANDOM, space=LR)
    space = parse_space({"lr": "choice(1e-3, 2e-3)"})
    old = Ledger(
        folder,
        replace(plan, n_trials=3, may_repeat=True, enqueue=({"lr": 1e-3},) * 3),
        "c1",
        lambda trial: suggest(trial, space),
    )
    assert _run(old) == [["lr=0.001"]] * 3
    old.close()
    ledger = _ledger(folder, plan, "c2")
    assert ledger.counts().budget == 4
    assert _run(ledger) == [["lr=0.002"]]


def test_a_setting_that_has_a_trial_is_not_asked_for_again(
    folder: StudyFolder, make_plan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = {"lr": 1e-3, "n": 2}, {"lr": 2e-3}
    plan = make_plan(
        n_trials=4, sampler=TPE, space={**LR, "n": "choice(1, 2)"}, enqueue=(one, other, one, other)
    )
    with caplog.at_level("INFO"):
        ledger = _ledger(folder, plan)
    assert "{'lr': 0.001, 'n': 2} has a trial already" in caplog.text
    assert ledger.counts().waiting == 3, "what leaves something to be drawn may stand twice"
    words = _run(ledger)
    assert words[0] == ["lr=0.001", "n=2"]
    assert sorted(words[1:3]) == [["lr=0.002", "n=1"], ["lr=0.002", "n=2"]]
    assert words[3] == ["lr=0.001", "n=1"]


def test_a_repeat_that_somebody_asks_for_is_told_not_trained(
    folder: StudyFolder, make_plan: Make
) -> None:
    ledger = _ledger(folder, make_plan(n_trials=4, sampler=RANDOM, space={"n": "range(0, 9)"}))
    _run(ledger, 2)
    study = open_study(folder)
    study.enqueue_trial(study.trials[1].params)  # as optuna-dashboard does it
    assert ledger.claim("cpu 0") is None
    assert "it would repeat trial 1" in open_study(folder).trials[2].user_attrs[ERROR]
    assert len(_run(ledger)) == 1


def test_trials_of_other_studies_do_not_count(
    folder: StudyFolder, start_folder: Callable[..., StudyFolder], make_plan: Make
) -> None:
    former = start_folder(folder.path.parent / "former", "former-000000")
    plan = make_plan(n_trials=5, sampler=TPE, space=LR)
    assert len(_run(_ledger(former, plan))) == 2
    ledger = _ledger(folder, replace(plan, warm_start=(str(former.path),)))
    assert len(open_study(folder).trials) == 2
    assert sorted(_run(ledger)) == [["lr=0.001"], ["lr=0.002"]]


def test_settings_that_only_look_endless_run_out(folder: StudyFolder, make_plan: Make) -> None:
    plan = make_plan(
        n_trials=9, sampler=RANDOM, space=LR, conditional={"_target_": f"{__name__}.idle"}
    )
    ledger = _ledger(folder, plan)
    assert sorted(_run(ledger)) == [["lr=0.001"], ["lr=0.002"]]
    assert _run(ledger) == []
    assert not ledger.is_open()
    # One trial found that out.
    assert ledger.counts() == replace(ledger.counts(), finished=2, failed=1, budget=3)


def test_a_lucky_seed_does_not_make_the_best_setting(folder: StudyFolder, make_plan: Make) -> None:
    score = {1e-3: (0.5, 0.5, 0.9), 2e-3: (0.7, 0.7, 0.7)}
    space = {**LR, "seed": "choice(0, 1, 2)"}
    plan = make_plan(n_trials=9, sampler=RANDOM, space=space)
    facts = {"space": space, "n_trials": 9}
    folder.write({**folder.read(), **facts})
    ledger = _ledger(folder, plan)
    best = Best(plan.objectives)
    while (claim := ledger.claim("cpu 0")) is not None:
        params = claim.trial.params
        value = score[params["lr"]][params["seed"]]
        best.add(Scored(claim.number, (value,), tuple(claim.words)))
        ledger.tell(claim, Outcome("finished", [value]))
    view = read_study(folder)
    assert (view.budget, view.exhausted) == (6, True)
    trials = view.trials
    firsts = trials[trials["repeat_of"].isna()].set_index("params.lr")["number"]
    assert [len(trials), len(firsts)] == [6, 2]
    for row in trials.dropna(subset="repeat_of").to_dict("records"):
        assert row["repeat_of"] == firsts[row["params.lr"]]
    summary = study_summary(view)
    assert (summary.best, summary.best_of) == (firsts[2e-3], 3)
    assert summary.best_value == pytest.approx(0.7)
    assert best_trials(view)["val/miou"].tolist() == pytest.approx([0.7, 1.9 / 3])
    assert [one.number for one in best.trials] == [firsts[2e-3]]
    text = study_report(folder)
    assert "6 settings are all there are, 9 trials were asked for" in text
    assert "val/miou 0.7000, the mean of 3 seeds" in text


def test_what_cannot_be_gone_through_says_so(make_plan: Make) -> None:
    for text in ("interval(0, 1)", "range(0, 1000000)"):
        space = parse_space({"x": text})
        with pytest.raises(ValueError, match="no end"):
            untried(lambda trial, space=space: suggest(trial, space), [], 0)
    call = {"_target_": f"{__name__}.failing"}
    with pytest.raises((ValueError, ConfigError)):
        untried(lambda trial: suggest(trial, parse_space(LR), call), [], 0)
