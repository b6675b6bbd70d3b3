"""What repeats in a comparison: images, folds or seeds. Each gives scores, differences and p.

References:
    Nadeau and Bengio (2003): https://doi.org/10.1023/A:1024068626366
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from seglab.analysis.comparison.contenders import Contender
from seglab.analysis.comparison.run_scores import NAN, Metric
from seglab.analysis.statistics import (
    Estimate,
    corrected_t_test,
    mean_interval,
    score_bounds,
    swap_test,
    welch_test,
    wilcoxon_test,
)
from seglab.metrics.jackknife import difference_interval, independent_groups, score_interval
from seglab.metrics.names import IOU

_SWAPS = 9_999
_MAX_SWAPS = 200_000
# Random swaps times images: about ten seconds.
_MAX_WORK = 400_000_000


class Design(Protocol):
    """How contenders are compared."""

    name: str

    def score(self, contender: Contender) -> Estimate:
        """Return the score of one contender."""
        ...

    def difference(self, candidate: Contender, baseline: Contender) -> Estimate:
        """Return candidate minus baseline with p."""
        ...

    def describe(self) -> str:
        """Return in words what was compared and how."""
        ...

    def size(self, candidate: Contender, baseline: Contender) -> str:
        """Return how much data a difference of the two rests on, such as `101 images`."""
        ...


class ImageDesign:
    """Paired by image: jackknife t intervals, p by swapping the models image by image.

    Args:
        contenders: All of them; they are compared on the images that every one scored.
        metric: What is compared.
        level: Confidence.
        comparisons: Of how many comparisons this is one; many need a p of more digits.
    """

    name = "images"

    def __init__(
        self, contenders: Sequence[Contender], metric: Metric, level: float, comparisons: int = 1
    ) -> None:
        runs = [run for contender in contenders for run in contender.runs]
        shared = set.intersection(*(set(_sample_ids(run.per_image)) for run in runs))
        self.sample_ids = sorted(shared)
        self.metric, self.level, self.comparisons = metric, level, comparisons
        named = (run.groups(self.sample_ids) for run in runs)
        found = next((groups for groups in named if groups is not None), None)
        self.num_groups = len(self.sample_ids) if found is None else len(set(found))
        grouped = self.num_groups < len(self.sample_ids)
        self.groups = independent_groups(found) if grouped else None

    @property
    def ignores_groups(self) -> bool:
        """Whether images come in groups that are too few to be taken as the units."""
        return self.groups is None and self.num_groups < len(self.sample_ids)

    def score(self, contender: Contender) -> Estimate:
        """Return the score of pooled counts with its interval."""
        assert self.metric.statistic is not None  # noqa: S101 - a run with counts knows its classes
        counts = contender.counts(self.sample_ids)
        return score_interval(counts, self.metric.statistic, self.level, self.groups)

    def difference(self, candidate: Contender, baseline: Contender) -> Estimate:
        """Return the difference of the scores of pooled counts, with the p of the swap test.

        NaN with too few images to tell.
        """
        assert self.metric.statistic is not None  # noqa: S101
        first, second = (one.counts(self.sample_ids) for one in (candidate, baseline))
        statistic, groups = self.metric.statistic, self.groups
        estimate = difference_interval(first, second, statistic, self.level, groups)
        if math.isnan(estimate.low):
            return estimate
        p = swap_test(first, second, statistic, _SWAPS, groups=groups)
        alpha = 1.0 - self.level
        wanted = min(_MAX_SWAPS, math.ceil(20 * self.comparisons / alpha))
        wanted = min(wanted, _MAX_WORK // max(1, len(self.sample_ids)))
        # A second, longer draw where the first one's smallest p is too coarse for the correction;
        # taken only when the first found little, it cannot raise the rate of false findings.
        if wanted > _SWAPS and p * self.comparisons < 5 * alpha:
            p = swap_test(first, second, statistic, wanted, seed=1, groups=groups)
        return replace(estimate, p=p)

    def wilcoxon(self, candidate: Contender, baseline: Contender) -> float:
        """Return the p of Wilcoxon's test on mIoU of single images."""
        return wilcoxon_test(
            candidate.image_scores(self.sample_ids), baseline.image_scores(self.sample_ids)
        )

    def describe(self) -> str:
        """Return in words what was compared and how."""
        units = "image by image" if self.groups is None else "group by group"
        count = "" if self.groups is None else f" in {self.num_groups} groups"
        return (
            f"paired by image: {len(self.sample_ids)} images{count}; jackknife t intervals, p by "
            f"swapping the two models {units}"
        )

    def size(self, candidate: Contender, baseline: Contender) -> str:
        """Return the number of images, or of groups where those are the units."""
        if self.groups is None:
            return f"{len(self.sample_ids)} images"
        return f"{len(self.sample_ids)} images in {self.num_groups} groups"


class FoldDesign:
    """Paired by fold of cross-validations: the corrected resampled t-test.

    Args:
        metric: What is compared.
        level: Confidence.
    """

    name = "folds"

    def __init__(self, metric: Metric, level: float) -> None:
        self.metric, self.level = metric, level

    def score(self, contender: Contender) -> Estimate:
        """Return the mean over folds."""
        scores, ratio = self._scores(contender)[1], self._ratio(contender)
        return score_bounds(corrected_t_test(scores, ratio, self.level))

    def difference(self, candidate: Contender, baseline: Contender) -> Estimate:
        """Return the mean difference over the folds that both have."""
        first, second = (
            dict(zip(*self._scores(one), strict=True)) for one in (candidate, baseline)
        )
        differences = [first[key] - second[key] for key in first if key in second]
        return corrected_t_test(differences, self._ratio(candidate), self.level)

    def describe(self) -> str:
        """Return in words what was compared and how."""
        return "paired by fold: corrected resampled t-test (Nadeau and Bengio, 2003)"

    def size(self, candidate: Contender, baseline: Contender) -> str:
        """Return the number of folds both have."""
        both = set(self._scores(candidate)[0]) & set(self._scores(baseline)[0])
        return f"{len(both)} folds"

    def _scores(self, contender: Contender) -> tuple[list[tuple[int, str]], list[float]]:
        frame = contender.runs[0].fold_scores
        if frame is None:
            return [], []
        column = self.metric.name
        if column not in frame and column.startswith(f"{IOU}/"):
            column = column.replace("/", "_", 1)
        if column not in frame:
            return [], []
        return list(frame.index), [float(score) for score in frame[column]]

    def _ratio(self, contender: Contender) -> float:
        """Return held-out over training images of a fold; without counts from the folds' number."""
        frame = contender.runs[0].fold_scores
        if frame is None:
            return NAN
        if {"images", "train_images"} <= set(frame):
            return float((frame["images"] / frame["train_images"]).mean())
        per_repeat = frame.groupby("repeat").size()
        return 1.0 / max(1, int(per_repeat.max()) - 1)


class SeedDesign:
    """Repeats from other seeds: Welch's t-test, for seeds are not paired.

    Args:
        metric: What is compared.
        level: Confidence.
    """

    name = "seeds"

    def __init__(self, metric: Metric, level: float) -> None:
        self.metric, self.level = metric, level

    def score(self, contender: Contender) -> Estimate:
        """Return the mean over seeds."""
        return mean_interval(contender.scores(self.metric.name), self.level)

    def difference(self, candidate: Contender, baseline: Contender) -> Estimate:
        """Return the difference of the means over seeds."""
        first, second = (one.scores(self.metric.name) for one in (candidate, baseline))
        return welch_test(first, second, self.level)

    def describe(self) -> str:
        """Return in words what was compared and how."""
        return "over seeds: Welch's t-test on the scores of whole trainings"

    def size(self, candidate: Contender, baseline: Contender) -> str:
        """Return the numbers of seeds."""
        return f"{len(candidate.runs)} against {len(baseline.runs)} seeds"


def has_counts(contenders: Sequence[Contender]) -> bool:
    """Whether every run kept the counts of its images."""
    return all(run.per_image is not None for one in contenders for run in one.runs)


def _sample_ids(frame: object) -> list[str]:
    return [] if frame is None else list(frame.index)  # type: ignore[attr-defined]
