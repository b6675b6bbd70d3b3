"""Where annotators need a rule: classes, pairs of classes and images, the worst first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seglab.curation.agreement.counts import Counts, PairImage, symmetric_counts
from seglab.curation.agreement.measure import Agreement
from seglab.metrics.jackknife import Estimate
from seglab.metrics.scores import dice_from_counts, mean_defined

Verdict = Literal["pass", "fail", "cannot tell"]


@dataclass(frozen=True)
class ClassPair:
    """Two classes that annotators take for each other.

    Args:
        first: Class of the lower index.
        second: The other.
        pixels: Pixels that one of two annotators gave to the first, the other to the second.
        share: Their share of all pixels that two annotators gave to different classes.
        images: Images on which that happens.
    """

    first: str
    second: str
    pixels: int
    share: float
    images: int


@dataclass(frozen=True)
class ImageNeed:
    """An image annotators disagree on.

    Args:
        sample_id: The image.
        dice: Mean Dice over classes, of the pair of annotators that agrees least.
        pair: That pair.
        mistaken: The two classes it takes for each other on most pixels; None where only outlines of
            void differ.
        pixels: How many pixels those are.
    """

    sample_id: str
    dice: float
    pair: tuple[str, str]
    mistaken: tuple[str, str] | None
    pixels: int


def verdict(estimate: Estimate, bar: float) -> Verdict:
    """Return whether a score reaches a bar: `pass` or `fail` only if its whole interval says so."""
    if math.isnan(estimate.low):
        return "cannot tell"
    if estimate.low >= bar:
        return "pass"
    return "fail" if estimate.high < bar else "cannot tell"


def classes_by_need(agreement: Agreement, bar: float) -> list[tuple[str, Estimate, Verdict]]:
    """Return the classes that were drawn with their Dice, the worst first, and whether it reaches the bar."""
    drawn = [one for one in agreement.classes if one.drawn]
    ranked = sorted(drawn, key=lambda one: (one.dice.value, one.name))
    return [(one.name, one.dice, verdict(one.dice, bar)) for one in ranked]


def class_pairs(counts: Counts) -> list[ClassPair]:
    """Return the pairs of classes taken for each other, by the number of pixels."""
    names = counts.panel.labels.class_names
    total = np.sum(list(counts.confusions.values()), axis=0)
    apart = np.triu(total + total.T, 1)
    whole = int(apart.sum())
    found = [
        ClassPair(
            names[i],
            names[j],
            int(apart[i, j]),
            float(apart[i, j]) / whole,
            int(counts.images_apart[i, j]),
        )
        for i, j in np.argwhere(apart)
    ]
    return sorted(found, key=lambda one: (-one.pixels, one.first, one.second))


def images_by_need(counts: Counts) -> list[ImageNeed]:
    """Return every image annotators differ on, the worst first."""
    worst: dict[str, tuple[float, PairImage]] = {}
    for one in counts.pairs:
        tp, fp, fn = symmetric_counts(one.sums[None])
        score = mean_defined(dice_from_counts(tp, fp, fn)[0])
        if not math.isnan(score) and score < worst.get(one.sample_id, (1.0, None))[0]:
            worst[one.sample_id] = (score, one)
    names = counts.panel.labels.class_names
    needs = [
        ImageNeed(
            name,
            score,
            one.pair,
            (names[one.most[0]], names[one.most[1]]) if one.most else None,
            one.most[2] if one.most else 0,
        )
        for name, (score, one) in worst.items()
    ]
    return sorted(needs, key=lambda one: (one.dice, one.sample_id))
