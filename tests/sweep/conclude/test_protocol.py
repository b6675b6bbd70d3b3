from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from seglab.analysis.study.load import StudyObjective
from seglab.analysis.study.text import protocol_sentences
from seglab.runs import RunRecord
from seglab.runs.studies.study import StudyFolder
from seglab.sweep.conclude.protocol import (
    confirm_dirs,
    finished_metrics,
    mean_interval,
    sentence,
    write_protocol,
)

WINNER = {"winner": 7, "winner_run": "trials/s-t0007", "best_value": 0.62, "trials_considered": 40}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    study = StudyFolder(tmp_path / "s")
    study.path.mkdir()
    study.write({"study_id": "s-0a1b2c", "storage": f"journal:{study.journal_path}"})
    return study


def finished(run_dir: Path, **metrics: float) -> Path:
    record = RunRecord.create(
        run_dir, experiment="e", kind="train", config={"seed": 1}, config_yaml="seed: 1\n"
    )
    record.set_metrics({key.replace("_", "/", 1): value for key, value in metrics.items()})
    record.finish("finished")
    return run_dir


def test_interval_is_that_of_student() -> None:
    values = [0.58, 0.61, 0.60, 0.59, 0.62]
    mean, low, high = mean_interval(values, "val/miou")
    expected = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((0.60, *expected))


def test_few_trainings_have_no_interval_and_none_no_mean() -> None:
    for few in ([0.5], [0.4, 0.6], [0.5, math.nan]):
        mean, low, high = mean_interval(few, "val/miou")
        assert mean == pytest.approx(0.5)
        assert math.isnan(low)
        assert math.isnan(high)
    assert all(math.isnan(one) for one in mean_interval([], "val/miou"))


def test_interval_does_not_leave_what_the_score_can_be() -> None:
    assert mean_interval([0.7, 0.9, 1.0], "val/miou")[2] == 1.0
    assert mean_interval([0.7, 0.9, 1.0], "val/loss")[2] > 1.0
    assert mean_interval([-0.1, 0.2, 0.1], "val/own")[1] < 0.0


def test_confirming_seeds_are_none_of_the_studys(folder: StudyFolder) -> None:
    folders = confirm_dirs(folder, winner=7, first_seed=3, count=2)
    assert list(folders) == [4, 5]
    assert [path.name for path in folders.values()] == [
        "s-0a1b2c-t0007-seed4",
        "s-0a1b2c-t0007-seed5",
    ]


def test_the_optimistic_best_stands_beside_what_was_confirmed(folder: StudyFolder) -> None:
    runs = {
        seed: finished(
            folder.path / "confirm" / f"seed{seed}", val_miou=value, test_miou=value - 0.1
        )
        for seed, value in ((1, 0.58), (2, 0.59), (3, 0.60))
    }
    content = write_protocol(folder, "val/miou", WINNER, runs, None)
    assert content["confirm_mean"] == pytest.approx(0.59)
    assert content["test"]["mean"] == pytest.approx(0.49)
    assert content["test_touched"] is not None
    said = sentence(content)
    assert "val/miou 0.6200 of trial 7 is the best of 40 trials, so it is optimistic" in said
    assert "trained anew with 3 seeds 0.5900 [" in said
    assert "test/miou 0.4900 [" in said
    assert folder.read_protocol()["confirm"][0]["run_dir"] == "confirm/seed1"


def test_it_is_remembered_for_whom_test_was_touched(folder: StudyFolder) -> None:
    first = write_protocol(folder, "val/miou", WINNER, {}, {"test/miou": 0.5})
    again = write_protocol(folder, "val/miou", WINNER, {}, {"test/miou": 0.5})
    assert first["test"]["mean"] == 0.5
    assert again["test_touched"] == first["test_touched"]
    assert "touched this once" in sentence(again)
    other = write_protocol(folder, "val/miou", WINNER | {"winner": 9}, {}, {"test/miou": 0.6})
    assert other["touched_for"] == [7, 9]
    assert "but test was scored for trial 7 too" in sentence(other)


def test_score_of_test_that_is_reported_is_the_published_one_even_undefined(
    folder: StudyFolder,
) -> None:
    """The study chose by the classes in val; test is reported by the mean that others report."""
    scores = {"test/miou": 0.5, "test/miou_present": 0.6}
    content = write_protocol(folder, "val/miou_present", WINNER, {}, scores)
    assert (content["test_metric"], content["test"]["mean"]) == ("test/miou", 0.5)
    void = write_protocol(folder, "val/miou_present", WINNER, {}, dict.fromkeys(scores, math.nan))
    assert "; test/miou is undefined, touched this once" in sentence(void)
    goal = StudyObjective("val/miou_present", "maximize")
    said = " ".join(protocol_sentences(folder.read_protocol(), goal))
    assert re.search(r"touched for the winner alone \(.*\): test/miou undefined", said)


def test_without_a_test_split_nothing_is_said_of_it(folder: StudyFolder) -> None:
    content = write_protocol(folder, "val/miou", WINNER, {}, None)
    assert content["test"] is None
    assert content["test_touched"] is None
    assert "test" not in sentence(content)


def test_only_finished_trainings_count(folder: StudyFolder) -> None:
    path = finished(folder.path / "confirm" / "one", val_miou=0.5)
    assert finished_metrics(path) == {"val/miou": 0.5}
    RunRecord.open(path).finish("failed")
    assert finished_metrics(path) is None
    assert finished_metrics(folder.path / "nothing") is None
