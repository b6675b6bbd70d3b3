"""The values a study optimises, taken from what a job returned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from seglab.core.errors import TrainingError, nearest
from seglab.runs.studies.study import StudyObjective


def objective_values(result: Any, objectives: Sequence[StudyObjective]) -> list[float]:
    """Return one value an objective.

    Args:
        result: What the task returned: something with `metrics` (a training), a mapping of metrics,
            a number for a single objective, or a sequence of numbers in the order of objectives.
        objectives: What the study optimises.

    Returns:
        The values; NaN where the score is undefined, which the ledger records as a failure.

    Raises:
        TrainingError: The task returned nothing of the kind, or has no such metric.
    """
    found = getattr(result, "metrics", result)
    if isinstance(found, Mapping):
        return [_metric(found, objective.metric) for objective in objectives]
    values = [found] if isinstance(found, Real) else found
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise TrainingError(
            "expected a number, numbers or metrics as the result of a trial, got "
            f"{type(result).__name__}; return the score from the function under @hydra.main"
        )
    if len(values) != len(objectives):
        raise TrainingError(
            f"expected {len(objectives)} values from a trial, one an objective, got {len(values)}"
        )
    return [_number(value) for value in values]


def _metric(metrics: Mapping[str, Any], name: str) -> float:
    if name not in metrics:
        raise TrainingError(
            f"study.objectives: the training left no metric '{name}'{nearest(name, metrics)}; it has "
            + ", ".join(sorted(metrics))
        )
    return _number(metrics[name])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, Real) else math.nan
