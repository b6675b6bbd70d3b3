"""What a model has to reach, as people write it: `miou >= 0.70`, `latency_ms <= 50`.

Needs no torch, so that a target is checked with the rest of a configuration, before anything is trained.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from seglab.core.errors import ConfigError, nearest
from seglab.metrics.names import COST, Score, declared_scores

Sign = Literal[">=", "<="]
SPLITS = ("train", "val", "test")
_FORM = re.compile(r"\s*(?P<name>[^<>=≤≥]+?)\s*(?P<sign>>=|<=|≥|≤)\s*(?P<limit>[^<>=≤≥\s]+)\s*")
_SIGNS: dict[str, Sign] = {">=": ">=", "<=": "<=", "≥": ">=", "≤": "<="}


@dataclass(frozen=True)
class Target:
    """One thing to reach.

    Args:
        metric: Name of a declared score that has a better end.
        sign: Whether the value has to be at least or at most the limit.
        limit: The limit; it counts as reached.
        split: Split it is meant for; None: the main split of a run. Costs have none.
        class_name: The class of `iou/CLASS` and `dice/CLASS`, as it stands in keys.
    """

    metric: str
    sign: Sign
    limit: float
    split: str | None = None
    class_name: str | None = None

    @property
    def is_cost(self) -> bool:
        """Whether it is about the model alone, such as its latency."""
        return self.metric in _known(costs=True)

    def key(self, main_split: str = "val") -> str:
        """Return the key of a run's metrics that it is held against, such as `val/miou`."""
        parts = [COST if self.is_cost else self.split or main_split, self.metric]
        return "/".join([*parts, self.class_name] if self.class_name else parts)

    def holds(self, value: float) -> bool:
        """Whether a value reaches the target; NaN does not."""
        return value >= self.limit if self.sign == ">=" else value <= self.limit

    def __str__(self) -> str:
        """Return the target as one would write it."""
        parts = [self.split, self.metric, self.class_name]
        return f"{'/'.join(part for part in parts if part)} {self.sign} {self.limit:g}"


def parse_target(text: str) -> Target:
    """Read one target.

    Args:
        text: `[SPLIT/]METRIC[/CLASS] >= NUMBER`, or with `<=`; costs such as `latency_ms` with or
            without `cost/` before them.

    Raises:
        ConfigError: It is no target, its metric is unknown, its sign points to the worse side, or
            its limit lies outside the values of the metric.
    """
    match = _FORM.fullmatch(text)
    limit = _number(match["limit"]) if match else math.nan
    if match is None or not math.isfinite(limit):
        raise ConfigError(
            f"expected METRIC >= NUMBER or METRIC <= NUMBER, such as 'miou >= 0.7', got '{text}'"
        )
    split, metric, class_name = _name(match["name"], text)
    target = Target(metric, _SIGNS[match["sign"]], limit, split, class_name)
    _require_sensible(target, text)
    return target


def parse_targets(texts: Iterable[str]) -> tuple[Target, ...]:
    """Read targets.

    Raises:
        ConfigError: With what is wrong with each.
    """
    targets, problems = [], []
    for text in texts:
        try:
            targets.append(parse_target(text))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError([f"objective.targets: {problem}" for problem in problems])
    return tuple(targets)


def require_classes(targets: Iterable[Target], class_names: Sequence[str]) -> None:
    """Refuse targets for classes that the data set does not have.

    Args:
        targets: What `parse_targets` returned.
        class_names: Names as they stand in keys (`safe_class_names`), or those of the label space.

    Raises:
        ConfigError: With one line a target.
    """
    known = [_as_in_keys(name) for name in class_names]
    problems = [
        f"objective.targets: no such class '{target.class_name}'"
        f"{nearest(target.class_name, known)}, got '{target}'; classes are {', '.join(known)}"
        for target in targets
        if target.class_name is not None and target.class_name not in known
    ]
    if problems:
        raise ConfigError(problems)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _name(name: str, text: str) -> tuple[str | None, str, str | None]:
    """Return split, metric and class of a name; each but the metric may be None."""
    scores, costs = _known(), _known(costs=True)
    with_classes = [score.name for score in scores.values() if score.per_class]
    parts = [part.strip() for part in name.split("/")]
    if parts[0] == COST and len(parts) == 2 and parts[1] in costs:
        return None, parts[1], None
    split = parts.pop(0) if len(parts) > 1 and parts[0] in SPLITS else None
    metric, rest = parts[0], parts[1:]
    allowed: list[str] = [*scores, *([] if split else costs)]
    if metric not in allowed:
        wanted = name.strip() if metric == COST or "/" in name else metric
        meant = nearest(metric, allowed) or nearest(name.rpartition("/")[2], allowed)
        raise ConfigError(
            f"no such metric '{wanted}'{meant}, got '{text}'; metrics are "
            f"{', '.join([*scores, *costs])}, with a split ({', '.join(SPLITS)}) before scores "
            f"if it is not the main one, and a class after {' and '.join(with_classes)}"
        )
    class_name = _as_in_keys("/".join(rest)) if rest else None
    if class_name is not None and metric not in with_classes:
        raise ConfigError(
            f"{metric} has no classes, got '{text}'; {' and '.join(with_classes)} have"
        )
    if metric in scores and scores[metric].only_of_classes and not class_name:
        raise ConfigError(f"expected {metric}/CLASS, or miou for the mean, got '{text}'")
    return split, metric, class_name


def _known(costs: bool = False) -> dict[str, Score]:
    """Return what can be aimed at by its name."""
    return {score.name: score for score in declared_scores(costs=costs) if score.better}


def _as_in_keys(class_name: str) -> str:
    return unicodedata.normalize("NFC", class_name).strip().replace("/", "_")


def _require_sensible(target: Target, text: str) -> None:
    score = _known().get(target.metric) or _known(costs=True)[target.metric]
    sign, high = (">=" if score.better == "high" else "<="), score.highest
    if target.sign != sign:
        side = "at least" if sign == ">=" else "at most"
        raise ConfigError(f"{target.metric} should be {side} something ({sign}), got '{text}'")
    if not 0 <= target.limit <= high:
        percent = high == 1 and 1 < target.limit <= 100
        hint = f"; {target.limit:g} % is {target.limit / 100:g}" if percent else ""
        reach = f"0 to {high:g}" if math.isfinite(high) else "0 or more"
        raise ConfigError(f"{target.metric} is a number of {reach}, got '{text}'{hint}")
