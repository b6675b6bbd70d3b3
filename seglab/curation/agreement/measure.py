"""Agreement of annotators by class, with intervals over images.

Dice and IoU are of pixels summed over images, and over all pairs of annotators of an image; an interval
leaves out one image (or one group of frames) at a time, with all who drew it. Cohen's kappa of more
than two annotators is the mean over their pairs (Light, 1971).

References:
    Light (1971): https://doi.org/10.1037/h0031643
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from seglab.core.sample_size import MIN_UNITS
from seglab.curation.agreement import kappa
from seglab.curation.agreement.counts import Counts, Pair, PairImage, symmetric_counts
from seglab.metrics.jackknife import (
    Estimate,
    independent_groups,
    score_interval,
    statistic_interval,
)
from seglab.metrics.pooled import (
    Groups,
    ImageCounts,
    PooledClassIou,
    Statistic,
    pooled_dice,
    pooled_miou,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassAgreement:
    """How far annotators agree on one class.

    Args:
        name: The class; `all` stands for the mean over classes, and kappa over all of them.
        dice: In [0, 1].
        iou: In [0, 1].
        cohen: Cohen's kappa, of the class against all others.
        fleiss: Fleiss' kappa likewise.
        distance: Hausdorff-95 between outlines in px, the mean over images (and pairs) where both
            drew the class; untold for `all`.
        drawn: Images (times pairs of annotators) on which at least one drew it.
        alone: Those of them on which one of the two did not.
    """

    name: str
    dice: Estimate
    iou: Estimate
    cohen: Estimate
    fleiss: Estimate
    distance: Estimate
    drawn: int
    alone: int


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree.

    Args:
        annotators: Who is compared.
        total: Over all classes.
        classes: One entry a class of the label space; NaN where nobody drew it.
        images: Images they have in common.
        pixels: Pixels that both of a pair labelled, summed over pairs.
        void: Pixels that one of a pair alone left void; they count nowhere else.
        grouped: Whether intervals leave out whole groups.
        few_groups: How many groups the images are of where those are too few to be left out one by
            one; intervals are over images then, and may be too narrow. Else 0.
    """

    annotators: tuple[str, ...]
    total: ClassAgreement
    classes: tuple[ClassAgreement, ...]
    images: int
    pixels: int
    void: int
    grouped: bool
    few_groups: int


def measure(counts: Counts, pair: Pair | None = None, level: float = 0.95) -> Agreement:
    """Return the agreement of one pair of annotators, or of all.

    Args:
        counts: What was counted.
        pair: Two annotators with an image in common; None: all pairs together.
        level: Confidence of the intervals.
    """
    entries = counts.of(pair)
    units = _Units.of(counts, entries, level)
    names = counts.panel.labels.class_names
    return Agreement(
        pair or counts.panel.annotators,
        units.agreement("all", None),
        tuple(units.agreement(name, index) for index, name in enumerate(names)),
        len(units.fleiss),
        int(sum(one.sums[len(names) : 2 * len(names)].sum() for one in entries)),
        sum(one.void for one in entries),
        units.groups is not None,
        units.few_groups,
    )


@dataclass(frozen=True, eq=False)
class _Units:
    """Sums of N images, and what they are measured with.

    Args:
        entries: One an image and pair.
        rows: Image of each entry.
        groups: Group of each image where those are the units.
        counts: Of each class, over all pairs of an image.
        cohen: `cohen_sums` by image and pair `(N, pairs * 3 C)`: leaving out an image leaves it out of
            every pair.
        fleiss: `fleiss_sums` by image.
        level: Confidence.
        few_groups: As in `Agreement`.
    """

    entries: Sequence[PairImage]
    rows: npt.NDArray[np.intp]
    groups: Groups
    counts: ImageCounts
    cohen: Floats
    fleiss: Floats
    level: float
    few_groups: int

    @classmethod
    def of(cls, counts: Counts, entries: Sequence[PairImage], level: float) -> _Units:
        places = {name: row for row, name in enumerate(counts.sample_ids)}
        pairs = {pair: number for number, pair in enumerate(sorted({e.pair for e in entries}))}
        used, rows = np.unique([places[one.sample_id] for one in entries], return_inverse=True)
        sums = np.stack([one.sums for one in entries])
        cohen = np.zeros((len(used), len(pairs), sums.shape[1]))
        cohen[rows, [pairs[one.pair] for one in entries]] = sums
        groups = [counts.groups[row] for row in used]
        units, few = groups_to_leave_out(groups)
        alike = kappa.fleiss_sums_of_two(sums) if len(pairs) == 1 else counts.fleiss[used]
        return cls(
            entries,
            rows,
            units,
            symmetric_counts(cohen.sum(1)),
            cohen.reshape(len(used), -1),
            alike,
            level,
            few,
        )

    def agreement(self, name: str, index: int | None) -> ClassAgreement:
        """Return the agreement on one class, on all for None."""
        iou = self._score(pooled_miou if index is None else PooledClassIou(index))
        # Dice is 2 IoU / (1 + IoU), which rises with it, so bounds go along.
        dice = self._score(pooled_dice) if index is None else _dice(iou)
        here, alone = self._presence(index)
        enough = len({self.rows[n] for n in np.flatnonzero(here)}) >= MIN_UNITS
        cohen = self._kappa(self.cohen, partial(self._mean_of_pairs, index=index), enough)
        fleiss = self._kappa(self.fleiss, partial(kappa.fleiss_kappa, index=index), enough)
        distance = self._distance(index)
        return ClassAgreement(
            name, dice, iou, cohen, fleiss, distance, int(here.sum()), int(alone.sum())
        )

    def _score(self, statistic: Statistic) -> Estimate:
        return score_interval(self.counts, statistic, self.level, self.groups)

    def _mean_of_pairs(self, sums: Floats, index: int | None) -> Floats:
        """Return the mean of Cohen's kappa over the pairs that have one."""
        per_pair = sums.reshape(*sums.shape[:-1], -1, 3 * self.counts.tp.shape[1])
        values = kappa.cohen_kappa(per_pair, index)
        defined = ~np.isnan(values)
        return kappa.divide(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))

    def _kappa(
        self, units: Floats, statistic: Callable[[Floats], Floats], enough: bool
    ) -> Estimate:
        told = statistic_interval(units, statistic, self.level, groups=self.groups)
        if not enough:
            return Estimate.untold(told.value, told.units)
        # Full agreement has no spread; its other bound is that of a share, as for Dice and IoU.
        tail = (1.0 - self.level) / 2.0
        return replace(told, low=tail ** (1.0 / told.units)) if told.value == 1.0 else told

    def _presence(self, index: int | None) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        sums = np.stack([one.sums for one in self.entries])
        _, first, second = np.split(sums > 0, 3, axis=-1)
        alone = np.stack([one.alone for one in self.entries])
        if index is None:
            return np.asarray((first | second).any(-1)), np.asarray(alone.any(-1))
        return first[:, index] | second[:, index], alone[:, index]

    def _distance(self, index: int | None) -> Estimate:
        if index is None:
            return Estimate.untold(math.nan, 0)
        values = np.array([one.distance[index] for one in self.entries])
        units = np.zeros((len(self.fleiss), 2))
        defined = ~np.isnan(values)
        np.add.at(units, self.rows[defined], np.stack([values[defined], np.ones(defined.sum())], 1))
        there = units[:, 1] > 0
        if not there.any():
            return Estimate.untold(math.nan, 0)
        groups = None if self.groups is None else np.asarray(self.groups)[there]
        return statistic_interval(
            units[there],
            lambda sums: kappa.divide(sums[..., 0], sums[..., 1]),
            self.level,
            (0.0, math.inf),
            groups,
        )


def groups_to_leave_out(groups: Sequence[str]) -> tuple[Groups, int]:
    """Return the groups where whole ones are to be left out, and how many they are if too few for that.

    None and 0 where every image is a group of its own.
    """
    number = len(set(groups))
    if number == len(groups):
        return None, 0
    units = independent_groups(groups)
    return units, 0 if units is not None else number


def _dice(iou: Estimate) -> Estimate:
    low, value, high = (2.0 * one / (1.0 + one) for one in (iou.low, iou.value, iou.high))
    error = iou.standard_error * 2.0 / (1.0 + iou.value) ** 2
    return replace(iou, value=value, low=low, high=high, standard_error=error)
