"""The report says what was asked, what came out, and what may be claimed of it."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from seglab.analysis.study import pareto_trials, read_study, study_report
from seglab.analysis.study.load import StudyObjective
from seglab.analysis.study.text import protocol_sentences
from seglab.core.disk.files import write_json
from seglab.runs.studies.study import StudyFolder

UP, DOWN = StudyObjective("val/miou", "maximize"), StudyObjective("val/loss", "minimize")


def protocol(values: list[float], **more: Any) -> dict[str, Any]:
    """What a concluded study knows of its winner, trained anew with seeds from 1."""
    mean = sum(values) / len(values) if values else math.nan
    content = {
        "winner": 29,
        "trials_considered": 40,
        "metric": "val/miou",
        "best_value": 0.71,
        "confirm": [
            {"seed": n, "run_dir": f"confirm/seed{n}", "value": value, "test": {}}
            for n, value in enumerate(values, start=1)
        ],
        "confirm_mean": mean,
        "confirm_low": mean - 0.01,
        "confirm_high": mean + 0.01,
        "test_metric": "test/miou",
        "test": None,
        "test_touched": None,
    }
    return {**content, **more}


def test_report_of_the_simulated_study(swept: StudyFolder) -> None:
    report = study_report(swept)
    for words in (
        "# Study lr_batch",
        "> Does the best rate grow with the batch?",
        "To find: val/miou as high as possible, within 40 trials (TPESampler, MedianPruner, seed 0).",
        "`seglab train -m study=lr_batch trainer.max_epochs=10`",
        "| optimizer.lr | tag(log, interval(1e-4, 1e-1)) |",
        "40 of 40 trials ended: 20 finished, 19 pruned, 1 failed.",
        "2 workers did 2.2 h of work in 67 min; idle 0.3 % of the time while trials waited",
        "Pruning saved about ",
        "A trial broke off with its process or controller once",
        "Failed: trial 17 (exception, RuntimeError: no).",
        "Trial 29 is the best: val/miou 0.7092. It was chosen as the best of 40 trials by this very "
        "score, which is therefore optimistic.",
        "| trial | val/miou | lr | batch_size | loss | time |",
        "| 29 | 0.709 |",
        "It has not been trained anew, nor scored on test.",
    ):
        assert words in report
    assert "## Figures" not in report, "none have been written"


def test_report_links_the_figures_that_are_there(swept: StudyFolder, tmp_path: Path) -> None:
    shutil.copytree(swept.path, tmp_path / "copy")
    folder = tmp_path / "copy" / "figures"
    folder.mkdir()
    for name in ("history.png", "history.html", "timeline.png", "importance.html"):
        (folder / name).touch()
    report = study_report(tmp_path / "copy")
    links = re.findall(r"\]\(([^)]+)\)", report)
    assert links == ["figures/history.html", "figures/history.png", "figures/timeline.png"]


def test_protocol_is_read_from_the_folder_unless_given(make: Any) -> None:
    folder = make(make.simulate(6))
    write_json(folder.protocol_path, protocol([0.69, 0.70], trials_considered=6))
    assert "Trained anew with 2 other seeds" in study_report(folder)
    assert "best of 6 trials" in study_report(folder)
    assert "Trained anew with 3 other seeds" in study_report(folder, protocol([0.69, 0.70, 0.68]))


def test_confirmation_with_its_interval_and_optimism() -> None:
    first, second, _ = protocol_sentences(protocol([0.69, 0.70, 0.68]), UP)
    assert first == (
        "Trained anew with 3 other seeds, which chose nothing: mean 0.6900 [0.6800, 0.7000] (95 %, "
        "Student's t over seeds; 0.6900, 0.7000, 0.6800)."
    )
    assert second == (
        "Optimism: best minus mean of the seeds is +0.0200; by so much the score it was chosen by flatters."
    )


@pytest.mark.parametrize(
    ("goal", "best", "words"),
    [
        (UP, 0.68, "-0.0100; the choice did not flatter it"),
        (DOWN, 0.60, "-0.0900; by so much the score it was chosen by flatters"),
        (DOWN, 0.75, "+0.0600; the choice did not flatter it"),
    ],
)
def test_optimism_knows_which_way_is_better(goal: StudyObjective, best: float, words: str) -> None:
    said = protocol_sentences(protocol([0.68, 0.70], best_value=best), goal)
    assert words in said[1]


def test_one_seed_has_no_interval_and_none_is_told() -> None:
    assert protocol_sentences(protocol([0.69]), UP)[0] == (
        "Trained anew with another seed it reached 0.6900; one seed gives no interval."
    )
    two = protocol_sentences(protocol([0.69, 0.70]), UP)[0]
    assert two.endswith("mean 0.6950 (too few repeats to tell an interval; 0.6900, 0.7000).")
    none, test = protocol_sentences(protocol([]), UP)
    assert none.startswith("It was not trained anew with other seeds (study.confirm)")
    assert test == "The test split was not touched."


def test_seed_whose_training_failed_does_not_count() -> None:
    content = protocol([0.69, 0.71])
    content["confirm"].append({"seed": 3, "run_dir": "x", "value": None, "test": {}})
    assert "2 other seeds" in protocol_sentences(content, UP)[0]


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            {"mean": 0.66, "low": 0.64, "high": 0.68},
            "test/miou 0.6600 [0.6400, 0.6800], mean of 3 seeds.",
        ),
        ({"mean": 0.66, "low": None, "high": None}, "test/miou 0.6600, mean of 3 seeds."),
        ({"test/miou": 0.66, "test/dice": 0.75}, "test/miou 0.6600, test/dice 0.7500"),
    ],
)
def test_test_split_is_told_once_with_its_moment(test: dict[str, Any], words: str) -> None:
    touched = "2026-11-22T22:00:11+00:00"
    (said,) = protocol_sentences(protocol([0.69, 0.70, 0.71], test=test, test_touched=touched), UP)[
        2:
    ]
    assert said.startswith(
        "On the test split, touched for the winner alone (2026-11-22 22:00 UTC): "
    )
    assert words in said


def test_reports_of_studies_without_a_result(make: Any) -> None:
    empty = study_report(make([], n_trials=5))
    assert "0 of 5 trials ended: none yet." in empty
    assert "No trial finished, so there is no best one." in empty
    failed = [
        make.trial(None, state=TrialState.FAIL, attempts=[("a", 0, 1)], attrs={"reason": "timeout"})
    ]
    assert "Failed: trial 0 (timeout)." in study_report(make(failed, name="failed"))


def test_report_of_several_objectives_lists_the_front(make: Any) -> None:
    goals = [("val/miou", "maximize"), ("cost/latency_ms", "minimize")]
    folder = make(make.fronts(2), objectives=goals)
    report = study_report(folder)
    front = pareto_trials(read_study(folder))["number"].tolist()
    assert "To find: val/miou as high as possible and cost/latency_ms as low as possible" in report
    assert "trials are on the Pareto front: no other trial beats them" in report
    assert [int(one) for one in re.findall(r"^\| (\d+) \|", report, flags=re.M)] == front


def test_warm_trials_are_told_and_do_not_count(make: Any) -> None:
    warm = make.trial([0.99], {"optimizer.lr": 0.01}, attrs={"warm": {"study": "x", "number": 3}})
    report = study_report(make([warm, *make.simulate(5)]))
    assert "The sampler was told of 1 trials of other studies; they count nowhere below." in report
    assert "0.9900" not in report
