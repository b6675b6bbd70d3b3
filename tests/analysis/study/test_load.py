"""The table of trials: one row each, what was measured and nothing else."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from seglab.analysis.study import load_trials, read_study, write_trials_csv
from seglab.core.errors import DataError, RunNotFoundError
from seglab.runs.studies.study import StudyFolder
from seglab.runs.studies.study_storage import open_study


def test_one_row_a_trial_in_every_state(make: Any) -> None:
    trial = make.trial
    failed = {"reason": "nan", "error": "the loss is NaN"}
    folder = make(
        [
            trial(
                [0.5],
                {"optimizer.lr": 0.01, "loss": "dice"},
                [0.3, 0.5],
                [("gpu0", 0, 10)],
                attrs={"first_step_s": 0.25},
            ),
            trial(
                [0.2],
                {"optimizer.lr": 0.1, "loss": "dice"},
                [0.2],
                [("gpu1", 0, 4), ("gpu0", 11, 12.5)],
                TrialState.PRUNED,
            ),
            trial(
                None, {"optimizer.lr": 0.05}, (), [("gpu1", 5, 6)], TrialState.FAIL, attrs=failed
            ),
            trial(None, {"optimizer.lr": 0.02}, [0.1], [("gpu1", 7, None)], TrialState.RUNNING),
            trial(None, {}, state=TrialState.WAITING),
        ]
    )
    table = load_trials(folder)
    assert table["state"].tolist() == ["finished", "pruned", "failed", "running", "waiting"]
    assert table["number"].tolist() == [0, 1, 2, 3, 4]
    # Optuna keeps the last report of a pruned trial as its value; here it is none.
    assert table["val/miou"].fillna(-1).tolist() == [0.5, -1, -1, -1, -1]
    assert table["last_value"].fillna(-1).tolist() == [0.5, 0.2, -1, 0.1, -1]
    assert table["last_step"].fillna(-1).tolist() == [1, 0, -1, 0, -1]
    assert table["duration_s"].fillna(-1).tolist() == [10, 5.5, 1, 0, -1]
    assert table["attempts"].tolist() == [1, 2, 1, 1, 0]
    assert table.loc[1, "worker"] == "gpu0"
    assert table.loc[0, "host"] == "node1"
    assert table.loc[0, "first_step_s"] == 0.25
    assert table.loc[1, "started"] == pd.Timestamp(make.start, unit="s", tz="UTC")
    assert table.loc[1, "ended"] == pd.Timestamp(make.start + 12.5, unit="s", tz="UTC")
    assert table.loc[3, "ended"] is pd.NaT
    assert table.loc[2, ["reason", "error"]].tolist() == ["nan", "the loss is NaN"]
    assert table.loc[0, "run_id"] == "lr_batch-ab12cd-t0000"
    assert table.loc[0, "run_dir"] == str(folder.run_dir(0))
    assert table["params.optimizer.lr"].fillna(-1).tolist() == [0.01, 0.1, 0.05, 0.02, -1]
    assert table["params.loss"].isna().tolist() == [False, False, True, True, True]


def test_trials_of_other_studies_are_left_out_unless_asked_for(make: Any) -> None:
    warm = {"warm": {"study": "former-123abc", "number": 7}, "attempts": []}
    folder = make(
        [
            make.trial([0.9], {"optimizer.lr": 0.01}, attrs=warm),
            make.trial([0.5], {"optimizer.lr": 0.02}, attempts=[("gpu0", 0, 1)]),
        ]
    )
    assert load_trials(folder)["number"].tolist() == [1]
    both = load_trials(folder, warm=True)
    assert both["warm"].tolist() == [True, False]
    assert math.isnan(both.loc[0, "duration_s"])
    view = read_study(folder)
    assert view.warm == 1
    assert view.in_memory().best_trial.number == 1, "numbers stay, the other study's trial is none"


def test_choices_keep_their_kind(make: Any) -> None:
    choices = (4, "4", True, None, 4.5)
    space = {"mixed": CategoricalDistribution(choices), "size": CategoricalDistribution((4, 8))}
    folder = make(
        [make.trial([0.1], {"mixed": choice, "size": 8}, space=space) for choice in choices]
    )
    table = load_trials(folder)
    assert [repr(value) for value in table["params.mixed"]] == [repr(one) for one in choices]
    assert table["params.size"].tolist() == [8] * 5
    assert table["params.size"].dtype == "int64"


def test_several_objectives_are_columns(make: Any) -> None:
    goals = [("val/miou", "maximize"), ("cost/latency_ms", "minimize")]
    view = read_study(make([make.trial([0.5, 12.0])], objectives=goals))
    assert view.trials[["val/miou", "cost/latency_ms"]].to_numpy().tolist() == [[0.5, 12.0]]
    assert [goal.maximises for goal in view.objectives] == [True, False]
    alone = view.in_memory(1)
    assert alone.best_value == 12.0
    assert alone.direction == optuna.study.StudyDirection.MINIMIZE


def test_study_without_trials_has_an_empty_table(make: Any) -> None:
    table = load_trials(make([], n_trials=10))
    assert len(table) == 0
    assert {"number", "state", "val/miou", "worker"} <= set(table)


def test_table_agrees_with_optuna(swept: StudyFolder) -> None:
    table, study = load_trials(swept), open_study(swept)
    done = study.get_trials(states=(TrialState.COMPLETE,))
    finished = table[table["state"] == "finished"]
    assert finished["number"].tolist() == [trial.number for trial in done]
    assert finished["val/miou"].tolist() == [trial.value for trial in done]
    assert finished["val/miou"].max() == study.best_value


def test_folder_can_be_given_as_text(swept: StudyFolder) -> None:
    assert load_trials(str(swept.path)).equals(load_trials(swept))


def test_no_study_there(tmp_path: Any) -> None:
    with pytest.raises(RunNotFoundError, match=r"no study at .*: it has no study\.json"):
        load_trials(tmp_path)


def test_other_directions_in_the_storage_are_told(make: Any) -> None:
    folder = make([make.trial([0.5])])
    goal = {"metric": "val/miou", "direction": "minimize"}
    folder.write(folder.read() | {"objectives": [goal]})
    with pytest.raises(DataError, match=r"study\.json and the storage disagree"):
        load_trials(folder)


def test_csv_holds_all_trials(make: Any) -> None:
    warm = make.trial([0.9], {"optimizer.lr": 0.01}, attrs={"warm": {"study": "x", "number": 0}})
    folder = make([warm, *make.simulate(6)])
    path = write_trials_csv(folder)
    assert path == folder.trials_csv
    table = pd.read_csv(path)
    assert len(table) == 7
    assert table["warm"].tolist() == [True] + [False] * 6
    kept = load_trials(folder)
    assert table.loc[~table["warm"], "val/miou"].tolist() == kept["val/miou"].tolist()
    assert table.loc[~table["warm"], "params.loss"].tolist() == kept["params.loss"].tolist()


def test_study_of_plain_optuna_is_read_too(make: Any) -> None:
    folder = make([])
    study = open_study(folder)
    for value in (0.1, 0.3):
        trial = study.ask({"optimizer.lr": FloatDistribution(1e-4, 1.0, log=True)})
        study.tell(trial, value)
    table = load_trials(folder)
    assert table["val/miou"].tolist() == [0.1, 0.3]
    assert (table["duration_s"] >= 0).all()
    assert table["attempts"].tolist() == [1, 1]
    assert table["run_dir"].isna().all()
