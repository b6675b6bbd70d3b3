from __future__ import annotations

import math

import pytest

from seglab.core.errors import ConfigError
from seglab.metrics import names
from seglab.metrics.targets import Target, parse_target, parse_targets, require_classes


@pytest.mark.parametrize(
    ("text", "target", "key"),
    [
        ("miou >= 0.70", Target("miou", ">=", 0.7), "val/miou"),
        ("  dice>=.5 ", Target("dice", ">=", 0.5), "val/dice"),
        ("test/miou >= 7e-1", Target("miou", ">=", 0.7, "test"), "test/miou"),
        (
            "iou/traffic light >= 0.4",
            Target("iou", ">=", 0.4, None, "traffic light"),
            "val/iou/traffic light",
        ),
        (
            "test/iou/wall/fence >= 0.4",
            Target("iou", ">=", 0.4, "test", "wall_fence"),
            "test/iou/wall_fence",
        ),
        ("latency_ms <= 50", Target("latency_ms", "<=", 50), "cost/latency_ms"),
        ("cost/params_m ≤ 5", Target("params_m", "<=", 5), "cost/params_m"),
        ("val/hd95 <= 12.5", Target("hd95", "<=", 12.5, "val"), "val/hd95"),
    ],
)
def test_target_is_read_and_has_its_key(text: str, target: Target, key: str) -> None:
    assert parse_target(text) == target
    assert parse_target(text).key() == key
    assert parse_target(str(target)) == target


def test_target_without_a_split_is_of_the_main_one() -> None:
    assert parse_target("miou >= 0.5").key("test") == "test/miou"
    assert parse_target("val/miou >= 0.5").key("test") == "val/miou"
    assert parse_target("gflops <= 3").key("test") == "cost/gflops"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("miuo >= 0.7", "no such metric 'miuo' (did you mean 'miou'?), got 'miuo >= 0.7'; metrics"),
        ("test/latency_ms <= 5", "no such metric 'test/latency_ms'"),
        ("cost/latency <= 5", "no such metric 'cost/latency' (did you mean 'latency_ms'?)"),
        ("tset/miou >= 0.7", "no such metric 'tset/miou' (did you mean 'miou'?)"),
        ("miou > 0.7", "expected METRIC >= NUMBER or METRIC <= NUMBER"),
        ("miou >= a", "expected METRIC >= NUMBER"),
        ("miou >= nan", "expected METRIC >= NUMBER"),
        ("0.7 <= miou <= 0.9", "expected METRIC >= NUMBER"),
        ("miou", "expected METRIC >= NUMBER"),
        ("miou >= 70", "miou is a number of 0 to 1, got 'miou >= 70'; 70 % is 0.7"),
        ("latency_ms <= -1", "latency_ms is a number of 0 or more, got"),
        ("miou <= 0.7", "miou should be at least something (>=), got 'miou <= 0.7'"),
        ("ece >= 0.7", "ece should be at most something (<=)"),
        ("iou >= 0.7", "expected iou/CLASS, or miou for the mean"),
        ("miou/car >= 0.7", "miou has no classes, got 'miou/car >= 0.7'; iou and dice have"),
    ],
)
def test_what_is_no_target_is_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert message in str(caught.value)


def test_all_mistakes_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_targets(["a >= 1", "miou >= 0.5", "miou >= 50"])
    assert len(caught.value.problems) == 2
    assert all(problem.startswith("objective.targets: ") for problem in caught.value.problems)


def test_classes_are_held_against_the_data() -> None:
    targets = parse_targets(["iou/car >= 0.5", "iou/wall/fence >= 0.5", "miou >= 0.1"])
    require_classes(targets, ["car", "wall/fence"])
    with pytest.raises(ConfigError) as caught:
        require_classes(targets, ["cars", "road"])
    assert caught.value.problems == [
        "objective.targets: no such class 'car' (did you mean 'cars'?), got 'iou/car >= 0.5'; "
        "classes are cars, road",
        "objective.targets: no such class 'wall_fence', got 'iou/wall_fence >= 0.5'; classes are "
        "cars, road",
    ]


def test_limit_counts_as_reached_and_nan_never_does() -> None:
    least, most = parse_target("miou >= 0.5"), parse_target("latency_ms <= 5")
    assert least.holds(0.5)
    assert not least.holds(0.4999)
    assert most.holds(5)
    assert not most.holds(5.001)
    assert not least.holds(math.nan)
    assert not most.holds(math.nan)


@pytest.mark.parametrize(
    "score",
    [score for costs in (False, True) for score in names.declared_scores(costs=costs)],
    ids=lambda score: score.name,
)
def test_every_score_with_a_better_end_can_be_a_target(score: names.Score) -> None:
    name = f"{score.name}/car" if score.only_of_classes else score.name
    text = f"{name} {'<=' if score.better == 'low' else '>='} 0.5"
    if not score.better:
        with pytest.raises(ConfigError, match="no such metric"):
            parse_target(text)
    else:
        assert parse_target(text).is_cost == (score.measured == "cost")


def test_classes_in_composed_and_decomposed_form_are_one() -> None:
    target = parse_target("iou/e\u0301 >= 0.5")
    assert target.class_name == "\u00e9"
    require_classes([target], ["e\u0301"])
