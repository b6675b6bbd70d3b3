"""Targets are checked with the rest of the configuration, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seglab.config.compose import compose
from seglab.config.language.locate import conf_dir
from seglab.data.importers.datasets.camvid import CLASS_NAMES
from seglab.metrics.targets import parse_targets

Problems = Callable[..., list[str]]
CHOICES = sorted(path.stem for path in (conf_dir() / "objective").glob("*.yaml"))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_can_be_read(choice: str) -> None:
    targets = parse_targets(compose([f"objective={choice}"]).objective.targets)
    assert (len(targets) == 0) == (choice == "none")


def test_nothing_is_asked_by_default() -> None:
    assert list(compose().objective.targets) == []


def test_camvid_classes_are_those_of_the_data() -> None:
    targets = parse_targets(compose(["objective=camvid"]).objective.targets)
    classes = {target.class_name for target in targets if target.class_name}
    assert classes == {"pedestrian", "bicyclist"}
    assert classes <= set(CLASS_NAMES)


def test_mistakes_are_reported_with_all_others(problems: Problems) -> None:
    words = 'objective.targets=["miuo >= 0.7","miou >= 70","latency_ms <= 5"]'
    found = problems(words, "seed=-1")
    assert len(found) == 3
    assert found[0].startswith("seed: ")
    assert found[1].startswith(
        "objective.targets: no such metric 'miuo' (did you mean 'miou'?), got 'miuo >= 0.7'"
    )
    assert found[2] == (
        "objective.targets: miou is a number of 0 to 1, got 'miou >= 70'; 70 % is 0.7"
    )


def test_targets_are_a_list_of_text(problems: Problems) -> None:
    (text,) = problems("objective.targets=[0.7]")
    assert text.startswith("objective.targets[0]: expected text, got 0.7")
    (text,) = problems('objective.targets="miou >= 0.7"')
    assert text == "objective.targets: expected a list of [text, ...], got 'miou >= 0.7'"
    (text,) = problems("objective=realtme")
    assert "objective: no such choice 'realtme' (did you mean 'realtime'?)" in text


def test_evaluation_has_targets_too(problems: Problems, tmp_path: object) -> None:
    found = problems("run=.", 'objective.targets=["miuo >= 0.7"]', app="evaluate")
    assert any("no such metric 'miuo'" in line for line in found)
    assert not any(line.startswith("objective=") for line in found)
