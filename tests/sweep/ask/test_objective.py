from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from seglab.core.errors import TrainingError
from seglab.runs.studies.study import StudyObjective
from seglab.sweep.ask.objective import objective_values

MIOU = StudyObjective("val/miou", "maximize")
LATENCY = StudyObjective("cost/latency_ms", "minimize")


@dataclass
class Result:
    metrics: dict[str, float] = field(default_factory=lambda: {"val/miou": 0.5, "val/dice": 0.6})


def test_values_come_from_metrics_in_the_order_of_the_objectives() -> None:
    assert objective_values(Result(), [MIOU]) == [0.5]
    found = {"cost/latency_ms": 3, "val/miou": 0.25}
    assert objective_values(found, [MIOU, LATENCY]) == [0.25, 3.0]


def test_numbers_are_taken_as_they_are() -> None:
    assert objective_values(0.75, [MIOU]) == [0.75]
    assert objective_values((0.75, 2), [MIOU, LATENCY]) == [0.75, 2.0]
    assert math.isnan(objective_values(float("nan"), [MIOU])[0])
    assert math.isnan(objective_values({"val/miou": None}, [MIOU])[0])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "expected a number, numbers or metrics as the result of a trial, got NoneType"),
        ("0.5", "got str"),
        ([0.1, 0.2], "expected 1 values from a trial, one an objective, got 2"),
        ({"val/miuo": 0.5}, r"no metric 'val/miou' \(did you mean 'val/miuo'\?\); it has val/miuo"),
    ],
)
def test_what_is_no_score_is_told(result: object, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        objective_values(result, [MIOU])
