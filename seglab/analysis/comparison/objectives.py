"""Holds what a run reached against what it should reach, with the intervals where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglab.analysis.tables import UNDEFINED, Row
from seglab.analysis.tables import markdown_table as _markdown
from seglab.analysis.tables import rich_table as _rich
from seglab.core.sample_size import TOO_FEW_IMAGES
from seglab.core.text.terminal import PlainTable
from seglab.metrics.targets import Target, parse_targets
from seglab.runs import RunRecord

Judged = Literal[
    "met",
    "missed",
    "met, but the interval reaches below",
    "met, but the interval reaches above",
    "cannot tell",
    "met, but too few images to tell",
    "not measured",
]
Interval = tuple[float, float]
_LOW, _HIGH = "_low", "_high"


@dataclass(frozen=True)
class Outcome:
    """What became of one target.

    Attributes:
        target: The target.
        key: Key of the metrics it was held against.
        value: What was measured; NaN where nothing was (`not measured`), or where the score is
            undefined (`cannot tell`), such as that of a class without a pixel.
        low: Lower end of the 95 % interval of the value; NaN without one.
        high: Upper end.
        missed: How many times the score counts a penalty because nothing was found, or found where
            nothing was (`hd95`).
        verdict: `met` says that the value reaches the limit and so does the whole interval, if
            there is one; where part of the interval lies on the worse side, or the images are too
            few for an interval, the verdict says so.
    """

    target: Target
    key: str
    value: float
    low: float
    high: float
    verdict: Judged
    missed: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the value reaches the limit, however wide the interval."""
        return self.verdict.startswith("met")


def judge(
    targets: Sequence[str | Target],
    scores: Mapping[str, float | None],
    intervals: Mapping[str, Interval] | None = None,
    main_split: str = "val",
) -> list[Outcome]:
    """Hold scores against targets.

    Args:
        targets: `cfg.objective.targets`, in the order of the table.
        scores: Metrics of a run by key, such as `val/miou` or `cost/latency_ms`; None is NaN: measured,
            but undefined (costs: not measured).
        intervals: 95 % intervals by the same keys; None takes those found in `scores` as
            `{key}_low` and `{key}_high`.
        main_split: Split of the targets that name none.

    Returns:
        One outcome a target; an empty list without targets.

    Raises:
        ConfigError: A target cannot be read.
    """
    ranges = intervals_in(scores) if intervals is None else intervals
    texts = iter(parse_targets([target for target in targets if isinstance(target, str)]))
    wanted = [next(texts) if isinstance(target, str) else target for target in targets]
    return [_outcome(target, scores, ranges, main_split) for target in wanted]


def judge_runs(folders: Sequence[Path], targets: Sequence[str] = ()) -> list[Row]:
    """Hold several runs against targets, or each against those it was trained for.

    Args:
        folders: Of the runs.
        targets: The same for all; empty: `objective.targets` of each run's own configuration.

    Returns:
        One row per run and target: run, target, measured, 95 % interval, verdict; none without targets.
    """
    rows: list[Row] = []
    for folder in folders:
        record = RunRecord(folder)
        content = record.read()
        own = (content["config"].get("objective") or {}).get("targets") or []
        outcomes = judge(list(targets) or own, record.metrics, main_split=content["main_split"])
        rows += [{"run": record.run_id, **row} for row in outcome_rows(outcomes)]
    return rows


def intervals_in(scores: Mapping[str, float | None]) -> dict[str, Interval]:
    """Return the intervals among metrics: `{key}_low` and `{key}_high` beside `{key}`.

    Those of classes are `val/iou_low/car` beside `val/iou/car`. Ends that are NaN or None are those of
    a score of too few images, NaN here.
    """
    found = {}
    for key in scores:
        # A class's name comes last: val/iou_low/car.
        split, _, rest = key.partition("/")
        name, slash, class_name = rest.partition("/")
        start, end = f"{split}/{name}", f"{slash}{class_name}"
        ends = (f"{start}{_LOW}{end}", f"{start}{_HIGH}{end}")
        if all(one in scores for one in ends):
            low, high = (math.nan if end is None else float(end) for end in map(scores.get, ends))
            found[key] = (low, high)
    return found


def _outcome(
    target: Target,
    scores: Mapping[str, float | None],
    intervals: Mapping[str, Interval],
    main_split: str,
) -> Outcome:
    key = target.key(main_split)
    found = scores.get(key)
    value = math.nan if found is None else float(found)
    interval = intervals.get(key)
    low, high = interval or (math.nan, math.nan)
    verdict = _verdict(target, value, interval)
    # A score that is there without a value is undefined; a cost without one could not be measured.
    if verdict == "cannot tell" and (key not in scores or target.is_cost):
        verdict = "not measured"
    missed = scores.get(f"{key}_missed") or 0
    return Outcome(target, key, value, low, high, verdict, int(missed))


def _verdict(target: Target, value: float, interval: Interval | None) -> Judged:
    if math.isnan(value):
        return "cannot tell"
    if not target.holds(value):
        return "missed"
    if interval is None:
        return "met"
    low, high = interval
    if math.isnan(low) or math.isnan(high):
        return "met, but too few images to tell"
    if target.sign == ">=" and low < target.limit:
        return "met, but the interval reaches below"
    if target.sign == "<=" and high > target.limit:
        return "met, but the interval reaches above"
    return "met"


def outcome_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return one row a target with `target`, `measured`, `95 % interval`, `verdict`, as text."""
    return [
        {
            "target": str(outcome.target),
            "measured": _measured(outcome),
            "95 % interval": _range(outcome),
            "verdict": outcome.verdict,
        }
        for outcome in outcomes
    ]


def markdown_table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a GitHub table; an empty text without any."""
    return _markdown(outcome_rows(outcomes)) if outcomes else ""


def rich_table(outcomes: Sequence[Outcome], title: str = "objective") -> PlainTable:
    """Return the outcomes as a table for the terminal."""
    return _rich(outcome_rows(outcomes), title, footer=False)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one line: how many targets are met, and which are not or are in doubt.

    An empty text without targets.
    """
    if not outcomes:
        return ""
    met = sum(outcome.is_met for outcome in outcomes)
    parts = [f"objective: {met} of {len(outcomes)} targets met"]
    doubtful = [one for one in outcomes if one.is_met and one.verdict != "met"]
    missed = [one for one in outcomes if one.verdict == "missed"]
    if doubtful:
        parts.append("in doubt " + ", ".join(map(_in_doubt, doubtful)))
    if missed:
        listed = [f"{one.target} ({_measured(one)})" for one in missed]
        parts.append("missed " + ", ".join(listed))
    for verdict, word in (("cannot tell", "cannot tell (undefined)"), ("not measured",) * 2):
        unknown = [str(one.target) for one in outcomes if one.verdict == verdict]
        if unknown:
            parts.append(f"{word} {', '.join(unknown)}")
    return "; ".join(parts)


def _measured(outcome: Outcome) -> str:
    counted = f", {outcome.missed} missed" if outcome.missed else ""
    return f"{_number(outcome, outcome.value)}{counted}"


def _in_doubt(outcome: Outcome) -> str:
    if math.isnan(outcome.low):
        return f"{outcome.target} ({TOO_FEW_IMAGES})"
    end = outcome.low if outcome.target.sign == ">=" else outcome.high
    side = "down" if outcome.target.sign == ">=" else "up"
    return f"{outcome.target} (interval {side} to {_number(outcome, end)})"


def _range(outcome: Outcome) -> str:
    if outcome.verdict == "met, but too few images to tell":
        return TOO_FEW_IMAGES
    if math.isnan(outcome.low) or math.isnan(outcome.high):
        return UNDEFINED
    return f"{_number(outcome, outcome.low)} to {_number(outcome, outcome.high)}"


def _number(outcome: Outcome, value: float) -> str:
    if math.isnan(value):
        return UNDEFINED
    return f"{value:.1f}" if outcome.target.is_cost and value >= 10 else f"{value:.3f}"
