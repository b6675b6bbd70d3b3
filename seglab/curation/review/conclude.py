"""What the decisions of reviewers say of a data set, and of the reviewers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.core.errors import DataError, DataNotFoundError
from seglab.curation.cleaning.decisions import Decision
from seglab.curation.review.decisions import merge
from seglab.curation.review.sampling import (
    Share,
    error_rate_of,
    largest_rate,
    largest_rate_with_misses,
    share_of,
)
from seglab.curation.review.sheet import KEY_NAME, SCHEMA, Item, ReviewPlan


@dataclass(frozen=True)
class Conclusion:
    """What was shown.

    Args:
        population: Masks in the data set.
        plan: What was to be shown.
        errors: Masks rejected or dropped of those inspected, and the error rate of the data set.
        upper: One-sided upper bound of that rate, with the plan's confidence.
        shown: Whether it is below the limit, and no more were wrong than allowed.
        caught: Planted errors that were rejected; None where none were planted.
        by_kind: Kind of planted error -> those caught.
        upper_with_misses: As `upper`, for reviewers who miss some errors; None without planted ones.
        undecided: Items nobody decided; they count as wrong, and as not caught.
    """

    population: int
    plan: ReviewPlan
    errors: Share
    upper: float
    shown: bool
    caught: Share | None
    by_kind: dict[str, Share]
    upper_with_misses: float | None
    undecided: int


@dataclass(frozen=True, eq=False)
class Key:
    """What `review.json` holds.

    Args:
        data: Name of the data set.
        fingerprint: Its fingerprint.
        population: Masks in it.
        plan: What was to be shown.
        items: What is on the page.
    """

    data: str
    fingerprint: str
    population: int
    plan: ReviewPlan
    items: tuple[Item, ...]


def read_key(folder: Path) -> Key:
    """Read `review.json` from the folder of a review.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged, or of another version.
    """
    path = folder / KEY_NAME
    if not path.is_file():
        raise DataNotFoundError(f"no {KEY_NAME} in {folder}; write it with `seglab data review`")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise DataError(f"{path} has schema {content['schema']}, this seglab reads {SCHEMA}")
        return Key(
            content["data"],
            content["fingerprint"],
            content["population"],
            ReviewPlan(**content["plan"]),
            tuple(Item(**one) for one in content["items"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no key of a review: {error}") from error


def conclude(key: Key, reviewers: Sequence[Sequence[Decision]]) -> Conclusion:
    """Return what the decisions show; of several reviewers a mask is wrong if one of them says so.

    Raises:
        DataError: Decisions are of items that are not on the page.
    """
    decided = merge(reviewers)
    strange = [name for name in decided if name not in {one.id for one in key.items}]
    if strange:
        raise DataError(
            f"{len(strange)} decisions are not of this review, such as {strange[0]}; give the folder "
            "whose page they were saved from"
        )
    plan, level = key.plan, key.plan.confidence
    real = [one for one in key.items if one.planted is None]
    planted = [one for one in key.items if one.planted is not None]
    # Whoever leaves out the doubtful ones must not come out better for it.
    wrong = sum(one.id not in decided or _rejected(decided, one) for one in real)
    caught = sum(_rejected(decided, one) for one in planted)
    kinds = Counter(one.planted for one in planted if one.planted is not None)
    by_kind = {
        kind: share_of(sum(_rejected(decided, i) for i in planted if i.planted == kind), of, level)
        for kind, of in kinds.items()
    }
    upper = largest_rate(key.population, len(real), wrong, level)
    return Conclusion(
        key.population,
        plan,
        error_rate_of(key.population, len(real), wrong, level),
        upper,
        upper < plan.error_rate and wrong <= plan.allowed,
        share_of(caught, len(planted), level) if planted else None,
        by_kind,
        largest_rate_with_misses(key.population, len(real), wrong, caught, len(planted), level)
        if planted
        else None,
        sum(one.id not in decided for one in key.items),
    )


def _rejected(decided: Mapping[str, Decision], item: Item) -> bool:
    return item.id in decided and decided[item.id].do != "keep"


def for_cleaning(key: Key, decisions: Collection[Decision]) -> list[Decision]:
    """Return decisions by sample, without those of planted errors, which are none of the data set's."""
    real = {one.id: one.sample_id for one in key.items if one.planted is None}
    return [
        Decision(real[one.sample_id], one.do, note=one.note)
        for one in decisions
        if one.sample_id in real
    ]


def conclusion_text(conclusion: Conclusion) -> str:
    """Return the conclusion in sentences, a line each."""
    plan, errors = conclusion.plan, conclusion.errors
    level = f"{plan.confidence:.0%}"
    lines = [
        f"{errors.of} of {conclusion.population} masks inspected, {errors.count} wrong: error rate "
        f"{errors.value:.1%}, {level} interval [{errors.low:.1%}, {errors.high:.1%}]"
    ]
    if plan.chosen:
        lines.append("these masks were chosen: what follows is of them, and of no others")
    if conclusion.undecided:
        lines.append(
            f"{conclusion.undecided} items are not decided; they count as wrong, and as not caught"
        )
    claim = f"an error rate below {plan.error_rate:.1%} at {level} confidence"
    found = f"at most {conclusion.upper:.1%}; {errors.count} wrong, {plan.allowed} allowed"
    lines.append(f"{'shown' if conclusion.shown else 'not shown'}: {claim} ({found})")
    if conclusion.caught is None or conclusion.upper_with_misses is None:
        lines.append("no errors were planted: how many the reviewers miss is not known")
        return "\n".join(lines) + "\n"
    caught = conclusion.caught
    lines.append(
        f"planted errors caught: {caught.count} of {caught.of}, {caught.value:.0%}, {level} interval "
        f"[{caught.low:.0%}, {caught.high:.0%}]"
        + "".join(
            f"; {kind.replace('_', ' ')} {one.count} of {one.of}"
            for kind, one in conclusion.by_kind.items()
        )
    )
    holds = conclusion.upper_with_misses < plan.error_rate
    lines.append(
        f"with what such reviewers may miss: error rate at most {conclusion.upper_with_misses:.1%}, "
        f"{'also' if holds else 'not'} below {plan.error_rate:.1%}"
    )
    return "\n".join(lines) + "\n"
