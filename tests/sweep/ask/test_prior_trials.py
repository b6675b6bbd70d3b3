"""Trials a study begins with: settings asked for, and what other studies found out before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from seglab.core.errors import ConfigError
from seglab.runs.studies.study import ENQUEUED, ORIGIN, StudyFolder, StudyObjective
from seglab.runs.studies.study_storage import open_study
from seglab.sweep.ask.plan import Counts, StudyPlan
from seglab.sweep.ledger.ledger import Ledger, Outcome

Start = Callable[..., StudyFolder]
Make = Callable[..., StudyPlan]


def suggest(trial: optuna.Trial) -> list[str]:
    loss = trial.suggest_categorical("loss", ["ce", "dice"])
    words = [f"loss={loss}", f"lr={trial.suggest_float('lr', 1e-4, 1e-1, log=True)!r}"]
    if loss == "dice":
        words.append(f"smooth={trial.suggest_float('smooth', 0, 1)!r}")
    return words


def suggest_narrow(trial: optuna.Trial) -> list[str]:
    loss = trial.suggest_categorical("loss", ["ce"])
    return [f"loss={loss}", f"lr={trial.suggest_float('lr', 1e-3, 1e-1, log=True)!r}"]


def _ran(folder: StudyFolder, plan: StudyPlan, count: int = 8) -> Ledger:
    """Run trials: every third pruned, every fourth failed."""
    ledger = Ledger(folder, plan, f"c-{folder.path.name}", suggest)
    for _ in range(count):
        claim = ledger.claim("cpu 0")
        assert claim is not None
        ledger.report(claim, 0.1, 0)
        outcome = Outcome("finished", [0.9])
        if claim.number % 4 == 3:
            outcome = Outcome("failed", reason="nan")
        elif claim.number % 3 == 2:
            outcome = Outcome("pruned")
        ledger.tell(claim, outcome)
    return ledger


@pytest.fixture
def former(tmp_path: Path, start_folder: Start, make_plan: Make) -> StudyFolder:
    """Another study: trials 0, 1, 4, 6 finished, 2 and 5 pruned, 3 and 7 failed."""
    folder = start_folder(tmp_path / "former", "former-000000")
    _ran(folder, make_plan())
    return folder


def test_settings_are_tried_first_and_count(folder: StudyFolder, make_plan: Make) -> None:
    plan = make_plan(enqueue=({"lr": 0.01, "loss": "ce"}, {"lr": 0.02}), n_trials=3)
    ledger = Ledger(folder, plan, "c1", suggest)
    assert ledger.counts() == Counts(0, 0, 0, 0, 2, 3)
    claims = [ledger.claim("cpu 0") for _ in range(4)]
    assert claims[3] is None
    assert [claim.number for claim in claims if claim] == [0, 1, 2]
    assert claims[0] is not None
    assert claims[0].words == ["loss=ce", "lr=0.01"]
    assert claims[1] is not None
    assert "lr=0.02" in claims[1].words


def test_settings_are_added_once(folder: StudyFolder, make_plan: Make) -> None:
    twice = ({"lr": 0.01}, {"lr": 0.01}, {"lr": 0.03})
    Ledger(folder, make_plan(enqueue=twice[:2]), "c1", suggest)
    Ledger(folder, make_plan(enqueue=twice[:2]), "c2", suggest)
    assert len(open_study(folder).trials) == 2
    ledger = Ledger(folder, make_plan(enqueue=twice), "c3", suggest)
    trials = open_study(folder).trials
    assert [trial.system_attrs["fixed_params"]["lr"] for trial in trials] == [0.01, 0.01, 0.03]
    assert len({trial.user_attrs[ENQUEUED] for trial in trials}) == 3
    assert ledger.counts().waiting == 3


def test_settings_beyond_the_budget_wait(folder: StudyFolder, make_plan: Make) -> None:
    plan = make_plan(enqueue=({"lr": 0.01}, {"lr": 0.02}), n_trials=1)
    ledger = Ledger(folder, plan, "c1", suggest)
    claim = ledger.claim("cpu 0")
    assert claim is not None
    assert ledger.claim("cpu 0") is None
    ledger.tell(claim, Outcome("finished", [1.0]))
    assert not ledger.is_open()


def test_wrong_settings_are_all_named_and_none_is_added(
    folder: StudyFolder, make_plan: Make
) -> None:
    wrong = ({"lr": 0.01}, {"lr": 5.0}, {"loss": "focal"}, {"rate": 1}, {"loss": "ce", "smooth": 1})
    with pytest.raises(ConfigError) as caught:
        Ledger(folder, make_plan(enqueue=wrong), "c1", suggest)
    assert caught.value.problems == [
        "study.enqueue: {'lr': 5.0}: lr lies outside of 0.0001 to 0.1",
        "study.enqueue: {'loss': 'focal'}: 'focal' not in ('ce', 'dice').",
        "study.enqueue: {'rate': 1}: rate is no parameter of this study",
        "study.enqueue: {'loss': 'ce', 'smooth': 1}: smooth is no parameter of this study",
    ]
    assert open_study(folder).trials == []


def test_former_trials_are_learnt_from_but_never_count(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        ledger = Ledger(folder, make_plan(warm_start=(str(former.path),)), "c1", suggest)
    assert "learns from 6 trials of former-000000" in caplog.text
    assert "left out" not in caplog.text
    study = open_study(folder)
    assert [trial.user_attrs[ORIGIN]["number"] for trial in study.trials] == [0, 1, 2, 4, 5, 6]
    source = open_study(former).trials
    for trial in study.trials:
        origin = source[trial.user_attrs[ORIGIN]["number"]]
        assert (trial.params, trial.state) == (origin.params, origin.state)
        # Pruners must not compare with other studies; samplers need the score of what was pruned.
        pruned = trial.state == TrialState.PRUNED
        assert trial.intermediate_values == ({0: 0.1} if pruned else {})
    assert ledger.counts() == Counts(0, 0, 0, 0, 0, 10)
    with pytest.raises(ValueError, match="No trials are completed"):
        _ = study.best_trial
    claim = ledger.claim("cpu 0")
    assert claim is not None
    assert claim.number == 6
    ledger.tell(claim, Outcome("finished", [0.2]))
    assert open_study(folder).best_value == 0.2
    for _ in range(9):
        last = ledger.claim("cpu 0")
        assert last is not None
        ledger.tell(last, Outcome("failed", reason="nan"))
    assert ledger.counts() == Counts(0, 1, 0, 9, 0, 10)
    assert not ledger.is_open()


def test_a_sampler_does_learn_from_them(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, tmp_path: Path, start_folder: Start
) -> None:
    tpe = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 4}
    warm = Ledger(folder, make_plan(sampler=tpe, warm_start=(str(former.path),)), "c1", suggest)
    claim = warm.claim("cpu 0")
    assert claim is not None
    sampler = claim.trial.study.sampler
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    assert len(claim.trial.study._get_trials(states=states)) == 6
    assert sampler._n_startup_trials == 4  # type: ignore[attr-defined]


def test_former_trials_are_added_once(
    folder: StudyFolder, former: StudyFolder, make_plan: Make
) -> None:
    plan = make_plan(warm_start=(str(former.path),))
    Ledger(folder, plan, "c1", suggest)
    # Trials that the former study has got since are not added: the sampler would propose otherwise.
    _ran(former, make_plan(n_trials=12), 2)
    Ledger(folder, plan, "c2", suggest)
    assert len(open_study(folder).trials) == 6


def test_a_kill_while_they_are_added_loses_and_doubles_none(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(warm_start=(str(former.path),), enqueue=({"lr": 0.01}, {"lr": 0.02}))
    add, left = optuna.Study.add_trial, [3]

    def dying(study: optuna.Study, trial: Any) -> None:
        if len(trial.user_attrs) and not left[0]:
            raise KeyboardInterrupt
        left[0] -= len(trial.user_attrs)
        add(study, trial)

    for survives in (3, 2, 2):
        left[0] = survives
        with monkeypatch.context() as patch:
            patch.setattr(optuna.Study, "add_trial", dying)
            with pytest.raises(KeyboardInterrupt):
                Ledger(folder, plan, "c1", suggest)
    Ledger(folder, plan, "c2", suggest)
    trials = open_study(folder).trials
    assert [trial.user_attrs[ORIGIN]["number"] for trial in trials[:6]] == [0, 1, 2, 4, 5, 6]
    assert [trial.state for trial in trials[6:]] == [TrialState.WAITING] * 2


def test_trials_that_do_not_fit_are_counted_with_their_reasons(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan(warm_start=(str(former.path),))
    Ledger(folder, plan, "c1", suggest_narrow)
    (message,) = [one.getMessage() for one in caplog.records if "left out" in one.getMessage()]
    taken = open_study(folder).trials
    assert f"{6 - len(taken)} of 6 trials of former-000000 were left out" in message
    assert "because 'dice' not in ('ce',)" in message
    assert all(trial.params["loss"] == "ce" and trial.params["lr"] >= 1e-3 for trial in taken)
    caplog.clear()
    Ledger(folder, plan, "c2", suggest_narrow)
    assert "left out" not in caplog.text


def test_trials_of_another_space_do_not_fit(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def more(trial: optuna.Trial) -> list[str]:
        return [*suggest(trial), f"depth={trial.suggest_int('depth', 1, 3)}"]

    def fewer(trial: optuna.Trial) -> list[str]:
        return [f"lr={trial.suggest_float('lr', 1e-4, 1e-1, log=True)!r}"]

    Ledger(folder, make_plan(warm_start=(str(former.path),)), "c1", more)
    assert "6 because it has no depth" in caplog.text
    folder.journal_path.unlink()
    Ledger(folder, make_plan(warm_start=(str(former.path),)), "c1", fewer)
    assert "loss is no parameter of this study" in caplog.text
    assert open_study(folder).trials == []


def test_trials_that_optimised_something_else_do_not_fit(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan(
        warm_start=(str(former.path),), objectives=(StudyObjective("val/loss", "minimize"),)
    )
    Ledger(folder, plan, "c1", suggest)
    assert "6 because it optimised maximize:val/miou" in caplog.text
    assert open_study(folder).trials == []


def test_a_place_without_study_is_named(
    folder: StudyFolder, tmp_path: Path, make_plan: Make
) -> None:
    with pytest.raises(ConfigError, match=r"study\.warm_start: no study at .*nowhere"):
        Ledger(folder, make_plan(warm_start=(str(tmp_path / "nowhere"),)), "c1", suggest)


def test_a_study_that_was_warm_itself_passes_on_its_own_trials_only(
    folder: StudyFolder, former: StudyFolder, make_plan: Make, tmp_path: Path, start_folder: Start
) -> None:
    middle = start_folder(tmp_path / "middle", "middle-000000")
    _ran(middle, make_plan(warm_start=(str(former.path),)), 2)
    Ledger(folder, make_plan(warm_start=(str(middle.path),)), "c1", suggest)
    origins = [trial.user_attrs[ORIGIN] for trial in open_study(folder).trials]
    assert origins == [{"study": "middle-000000", "number": 6}]
