"""Keys of the scores that every training has, for what a configuration may monitor or optimise."""

from __future__ import annotations

import math
from collections.abc import Collection

from seglab.metrics.options import declared_scores, find_score


def val_scores() -> list[str]:
    """Return the keys of the validation scores that have a better end, but those of single classes."""
    scores = declared_scores("always")
    return [f"val/{one.name}" for one in scores if one.better and not one.only_of_classes]


def class_scores() -> list[str]:
    """Return the names of the scores that each class has."""
    return [score.name for score in declared_scores("always") if score.per_class]


def cost_keys() -> list[str]:
    """Return the keys of what a model costs."""
    return [f"cost/{score.name}" for score in declared_scores("cost")]


def is_val_score(key: str) -> bool:
    """Whether a training has this score of the validation split, of all classes or of one."""
    score = find_score(key) if key.startswith("val/") else None
    return score is not None and score.measured == "always" and score.better != ""


def is_fold_score(key: str) -> bool:
    """Whether a cross-validation has this score: those that follow from confusion matrices."""
    score = find_score(key) if is_val_score(key) else None
    return score is not None and bool(score.function or score.per_class)


def is_own_score(key: str, own: Collection[str]) -> bool:
    """Whether a score is one's own: then nothing says which end of it is the better one."""
    return key.startswith("val/") and key.removeprefix("val/") in own


def reported_test_score(key: str) -> str:
    """Return the key of the score of the test split that is reported for a score that decided.

    >>> reported_test_score("val/miou_present"), reported_test_score("val/dice")
    ('test/miou', 'test/dice')
    """
    score = find_score(key)
    name = score.reported_as if score is not None else ""
    return f"test/{name or key.removeprefix('val/')}"


def lower_is_better(key: str) -> bool:
    """Whether the best value of a score (or a cost) is its smallest."""
    score = find_score(key)
    return score is not None and score.better == "low"


def limits_of(key: str) -> tuple[float, float]:
    """Return between which values a score lies."""
    score = find_score(key)
    return (-math.inf, math.inf) if score is None else (0.0, score.highest)
