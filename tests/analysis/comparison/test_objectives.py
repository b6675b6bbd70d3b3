from __future__ import annotations

import math

import pytest
from rich.console import Console

from seglab.analysis.comparison.objectives import (
    Outcome,
    intervals_in,
    judge,
    markdown_table,
    rich_table,
    summary,
)
from seglab.core.errors import ConfigError
from seglab.metrics.targets import parse_target

SCORES = {
    "val/miou": 0.72,
    "val/miou_low": 0.68,
    "val/miou_high": 0.76,
    "test/miou": 0.65,
    "val/iou/car": 0.3,
    "val/iou/bus": math.nan,
    "val/ece": 0.04,
    "val/ece_low": 0.03,
    "val/ece_high": 0.06,
    "cost/latency_ms": 43.21,
    "cost/params_m": None,
}


def verdict(text: str, main_split: str = "val") -> str:
    return judge([text], SCORES, main_split=main_split)[0].verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("miou >= 0.68", "met"),
        ("miou >= 0.70", "met, but the interval reaches below"),
        ("miou >= 0.72", "met, but the interval reaches below"),
        ("miou >= 0.75", "missed"),
        ("test/miou >= 0.65", "met"),
        ("iou/car >= 0.4", "missed"),
        ("iou/bus >= 0.4", "cannot tell"),
        ("iou/bike >= 0.4", "not measured"),
        ("ece <= 0.06", "met"),
        ("ece <= 0.05", "met, but the interval reaches above"),
        ("ece <= 0.03", "missed"),
        ("latency_ms <= 50", "met"),
        ("latency_ms <= 43", "missed"),
        ("params_m <= 5", "not measured"),
    ],
)
def test_verdict(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_main_split_decides_what_a_plain_target_means() -> None:
    (outcome,) = judge(["miou >= 0.7"], SCORES, main_split="test")
    assert (outcome.key, outcome.value, outcome.verdict) == ("test/miou", 0.65, "missed")
    assert math.isnan(outcome.low)


def test_given_intervals_count_instead_of_those_among_the_scores() -> None:
    (outcome,) = judge(["miou >= 0.7"], SCORES, {"val/miou": (0.71, 0.73)})
    assert (outcome.low, outcome.high, outcome.verdict) == (0.71, 0.73, "met")
    assert judge(["miou >= 0.7"], SCORES, {})[0].verdict == "met"


def test_intervals_are_found_beside_their_scores() -> None:
    assert intervals_in(SCORES) == {"val/miou": (0.68, 0.76), "val/ece": (0.03, 0.06)}
    assert intervals_in({"val/miou": 0.5, "val/miou_low": 0.4}) == {}


def test_a_target_met_on_too_few_images_is_in_doubt() -> None:
    few = {"val/miou": 0.72, "val/miou_low": None, "val/miou_high": math.nan}
    met, missed = judge(["miou >= 0.7", "miou >= 0.8"], few)
    assert met.verdict == "met, but too few images to tell"
    assert missed.verdict == "missed"
    assert "| 0.720 | too few images to tell |" in markdown_table([met])
    assert summary([met]) == (
        "objective: 1 of 1 targets met; in doubt miou >= 0.7 (too few images to tell)"
    )


def test_a_distance_is_judged_with_what_was_missed() -> None:
    scores = {"val/hd95": 26.0, "val/hd95_missed": 5.0, "val/hd95_penalty": 50.0}
    met, missed = judge(["hd95 <= 30", "hd95 <= 20"], scores)
    assert (met.verdict, met.missed) == ("met", 5)
    assert "| 26.000, 5 missed |" in markdown_table([met])
    assert "hd95 <= 20 (26.000, 5 missed)" in summary([missed])


def test_read_targets_keep_their_limit_and_place() -> None:
    target = parse_target("miou >= 0.7200000001")
    outcomes = judge(["dice >= 0.1", target, "ece <= 0.5"], SCORES)
    assert [one.target.metric for one in outcomes] == ["dice", "miou", "ece"]
    assert outcomes[1].verdict == "missed"


def test_nothing_asked_is_nothing_said() -> None:
    assert judge([], SCORES) == []
    assert markdown_table([]) == ""
    assert summary([]) == ""


def test_wrong_target_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match="did you mean 'miou'"):
        judge(["mio >= 0.7"], SCORES)


def outcomes() -> list[Outcome]:
    return judge(["miou >= 0.7", "iou/car >= 0.4", "latency_ms <= 50", "params_m <= 5"], SCORES)


def test_table_holds_every_target() -> None:
    assert markdown_table(outcomes()).splitlines() == [
        "| target | measured | 95 % interval | verdict |",
        "| --- | --- | --- | --- |",
        "| miou >= 0.7 | 0.720 | 0.680 to 0.760 | met, but the interval reaches below |",
        "| iou/car >= 0.4 | 0.300 | - | missed |",
        "| latency_ms <= 50 | 43.2 | - | met |",
        "| params_m <= 5 | - | - | not measured |",
    ]
    console = Console(width=120)
    with console.capture() as captured:
        console.print(rich_table(outcomes()))
    assert "iou/car >= 0.4" in captured.get()


def test_summary_names_what_is_missing() -> None:
    assert summary(outcomes()) == (
        "objective: 2 of 4 targets met; in doubt miou >= 0.7 (interval down to 0.680); "
        "missed iou/car >= 0.4 (0.300); not measured params_m <= 5"
    )
    assert summary(judge(["ece <= 0.05"], SCORES)) == (
        "objective: 1 of 1 targets met; in doubt ece <= 0.05 (interval up to 0.060)"
    )


def test_interval_of_a_class_is_found_under_its_key() -> None:
    scores = {"val/iou/car": 0.6, "val/iou_low/car": 0.3, "val/iou_high/car": 0.8}
    (outcome,) = judge(["iou/car >= 0.5"], scores)
    assert (outcome.low, outcome.high) == (0.3, 0.8)
    assert outcome.verdict == "met, but the interval reaches below"
