"""Quality without labels: what the calibrated probabilities say of themselves.

Where probabilities are calibrated, those of the pixels given class p add up to how many of them are of each
class t: the expected confusion (the idea of NannyML's confidence-based performance estimation, at the
level of pixels). Scores of it are scores to be expected. The reference, whose labels are known, tells
how far its expectation was off there, and the estimate is corrected by that.

This holds while images change and what they mean does not, and only where the reference has images like
them. The second is tested here; the first cannot be seen without labels, and is tested where some arrive
(`seglab.monitor.quality.measured`).

References:
    NannyML, "Confidence-based performance estimation":
        https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html
    Guo et al. (2017), calibration of networks: https://arxiv.org/abs/1706.04599
    Ovadia et al. (2019), how it suffers from shift: https://arxiv.org/abs/1906.02530
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seglab.core.errors import DataError, ShapeError
from seglab.core.seeding import generator
from seglab.monitor.quality.scores import Interval, intervals, redrawn, scores_of
from seglab.monitor.quality.support import FARTHEST, Support
from seglab.monitor.samples import Sample

# Share of the reference's pixels that a single cell of the confusion is worth nothing without.
_PRIOR = 0.003
_FEWEST_IMAGES = 10


class Assumption(NamedTuple):
    """Whether the numbers may be believed."""

    ok: bool
    why: str
    """One sentence, also where all is well."""
    kind: str = "holds"
    """`holds`, `unchecked`, `outside` (covariate shift where nothing is calibrated), `concept` (the classes
    mean something else), `careful` (better than estimated)."""
    distance: float = float("nan")
    """Of the images from the reference, 1 is usual within it; NaN: not known."""


class Estimate(NamedTuple):
    """How good the model is on some images."""

    iou: np.ndarray
    """Of each class, `(K,)`; NaN where the class is absent."""
    iou_low: np.ndarray
    """Start of the 95 % interval of each, `(K,)`."""
    iou_high: np.ndarray
    """End of it."""
    miou: float
    """Mean over the classes that are there."""
    interval: Interval
    """Its 95 % interval."""
    images: int
    """How many images it is of."""
    assumption: Assumption


@dataclass(frozen=True)
class QualityReference:
    """What the labelled reference tells about estimates; made by `fit`.

    Attributes:
        expected: Expected confusions of its images, `(n, K, K)`.
        true: Those of their labels, `(n, K, K)`.
        streams: Of its images.
        support: Where its images lie; None: not known.
    """

    expected: np.ndarray
    true: np.ndarray
    streams: np.ndarray
    support: Support | None

    @classmethod
    def fit(cls, reference: Sample) -> QualityReference | None:
        """Return what a reference tells; None where it is of an older bundle or has no labels."""
        held = reference.statistics
        if "confusion" not in held or "true_confusion" not in held:
            return None
        labelled = held["true_confusion"].sum((1, 2)) > 0
        if not labelled.any():
            return None
        return cls(
            held["confusion"][labelled],
            held["true_confusion"][labelled],
            reference.streams[labelled],
            Support.fit(reference),
        )

    @property
    def miou(self) -> float:
        """What the labels say of the reference."""
        return float(scores_of(self.true.sum(0)).miou)

    @property
    def bias(self) -> float:
        """By how much the uncorrected estimate of mIoU was too high on the reference."""
        return float(scores_of(self.expected.sum(0)).miou) - self.miou


def estimate_quality(window: Sample, reference: QualityReference | None = None) -> Estimate:
    """Estimate the scores of images that have no labels.

    Args:
        window: With `confusion`, and with `features` where the assumption is to be tested; in order of time.
        reference: Of the bundle that predicted; None: nothing is corrected nor tested.

    Returns:
        Scores with intervals over blocks of neighbouring images, of the window and of the reference. The
        farther the images lie from the reference, the less of its correction is sure: intervals reach
        from all of it to none at the farthest.

    Raises:
        DataError: There are no images, or none with an expected confusion.
        ShapeError: The confusions are of another number of classes than the reference's.
    """
    confusions = window.statistics.get("confusion")
    if confusions is None or not len(confusions):
        raise DataError(
            "expected images with an expected confusion; an older bundle or log has none: serve a bundle "
            "exported with this version"
        )
    rng = generator(0, "quality")
    drawn = redrawn(confusions, window.streams, rng)
    pooled = confusions.sum(0, dtype=np.float64)
    assumption = _assumption(window, reference)
    if reference is not None:
        if reference.expected.shape[1:] != confusions.shape[1:]:
            raise ShapeError(
                f"expected confusions of {reference.expected.shape[1]} classes, as in the reference, got "
                f"{confusions.shape[1]}"
            )
        both = np.stack([reference.expected, reference.true], axis=1)
        known = _redrawn_pairs(both, reference.streams, rng)
        share = rng.uniform(1 - _doubt(assumption), 1, (len(drawn), 1, 1))
        drawn = drawn * _correction(known[:, 0], known[:, 1]) ** share
        pooled = corrected(pooled, reference)
    return summary(pooled, drawn, len(confusions), assumption)


def _doubt(assumption: Assumption) -> float:
    """Return how much of the correction may be wrong, 0 to 1."""
    return 1.0 if np.isnan(assumption.distance) else min(1.0, assumption.distance / FARTHEST)


def summary(pooled: np.ndarray, drawn: np.ndarray, images: int, assumption: Assumption) -> Estimate:
    """Return the scores of a pooled confusion, with intervals of draws `(draws, K, K)`."""
    scores, several = scores_of(pooled), scores_of(drawn)
    low, high = intervals(several.iou)
    ends = intervals(np.asarray(several.miou))
    return Estimate(
        scores.iou,
        low,
        high,
        float(scores.miou),
        Interval(float(ends[0]), float(ends[1])),
        images,
        assumption,
    )


def corrected(confusion: np.ndarray, reference: QualityReference | None) -> np.ndarray:
    """Return an expected confusion `(..., K, K)`, corrected by what the reference's was off by."""
    if reference is None:
        return confusion
    return confusion * _correction(reference.expected.sum(0), reference.true.sum(0))


def _correction(expected: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return true over expected pixels; cells of few pixels take the value of their column."""
    columns = [one.sum(-2, keepdims=True) for one in (true, expected)]
    totals = [one.sum(-1, keepdims=True) for one in columns]
    prior = _PRIOR * totals[1]
    overall = totals[0] / np.maximum(totals[1], 1e-300)
    column = (columns[0] + prior * overall) / (columns[1] + prior)
    return np.asarray((true + prior * column) / (expected + prior))


def _redrawn_pairs(pairs: np.ndarray, streams: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return sums of expected and true confusions of the same draws, `(draws, 2, K, K)`."""
    count, _, side, _ = pairs.shape
    return redrawn(pairs.reshape(count, 2 * side, side), streams, rng).reshape(-1, 2, side, side)


def _assumption(window: Sample, reference: QualityReference | None) -> Assumption:
    if reference is None:
        return Assumption(
            False,
            "Not checked: the bundle has no labelled reference, so nothing tells whether its probabilities "
            "are calibrated; export it again on labelled images.",
            "unchecked",
        )
    if reference.support is None or window.features is None:
        return Assumption(
            False,
            "Not checked: there are no features of the encoder to tell whether the images are like the "
            "reference's.",
            "unchecked",
        )
    distance = float(np.median(reference.support.distance(window)))
    far = f"{distance:.1f} times as far from the reference as its own scenes from each other"
    if distance > FARTHEST:
        return Assumption(
            False,
            f"The images lie {far} (more than {FARTHEST:g}): nothing tells whether probabilities are "
            "calibrated there. Label some of them.",
            "outside",
            distance,
        )
    if len(window.times) < _FEWEST_IMAGES:
        return Assumption(
            False, f"Only {len(window.times)} images: too few to tell.", "unchecked", distance
        )
    return Assumption(
        True, f"The images lie {far}, where the calibration was checked.", "holds", distance
    )
