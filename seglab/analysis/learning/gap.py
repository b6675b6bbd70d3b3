"""Does a model do worse on images it was not trained on, and by how much?

Losses show when a run begins to overfit (`seglab.analysis.learning.loss_trend`); this holds the final scores
of training, validation and test images against each other. The splits are different images, so each
has an interval of its own, and those of two give that of their difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from seglab.core.errors import DataError
from seglab.core.sample_size import TOO_FEW_IMAGES
from seglab.metrics.jackknife import (
    Estimate,
    independent_difference,
    independent_groups,
    score_interval,
)
from seglab.metrics.pooled import ImageCounts, pooled_miou
from seglab.metrics.scores import ClassCounts

GapKind = Literal["overfit", "no overfit", "cannot tell", "not measured"]
Counts = pd.DataFrame | ClassCounts
_NAMES = {"train": "training", "val": "validation", "test": "test"}


class Interval(NamedTuple):
    """A score and the bounds between which it lies with the asked-for confidence; NaN: unknown."""

    score: float
    low: float
    high: float


_UNDEFINED = Interval(math.nan, math.nan, math.nan)
GROUP = "group"


@dataclass(frozen=True)
class GapRules:
    """Thresholds of `gap_verdict`, in mIoU.

    Args:
        margin: A smaller gap is nothing to act on.
        level: Confidence of the intervals.
    """

    margin: float = 0.05
    level: float = 0.95


@dataclass(frozen=True)
class GapVerdict:
    """What the scores of the splits say.

    Attributes:
        kind: `overfit`: the whole interval of the gap lies above the margin; `no overfit`: it lies
            below; `cannot tell`: the margin lies within, there are too few images, or no class is in
            both training and validation images; `not measured`: there are no scores on training images.
        scores: Split -> mIoU with its interval, over the classes all splits have; NaN for a split that
            shares none with the others.
        gap: mIoU on training images minus that on validation images, with its interval.
        test_gap: Validation minus test, with its interval; NaN without a test split.
        classes: Indices of the classes the means are over.
        evidence: The numbers of training and validation images, as a clause.
        remarks: Sentences on the test images and on classes left out; may be empty.
    """

    kind: GapKind
    scores: dict[str, Interval]
    gap: Interval
    test_gap: Interval
    classes: tuple[int, ...]
    evidence: str
    remarks: str = ""


def gap_verdict(
    train: Counts | None, val: Counts, test: Counts | None = None, rules: GapRules | None = None
) -> GapVerdict:
    """Judge the gap between training and validation images, and that to test images.

    The mean runs over the classes that occur in every split given: a rare class that one split
    lacks would make a gap of its own. A test split that shares no class with the other two, such as
    one without labels, is left out, and the sentence says so.

    Args:
        train: Counts of the training images, scored without augmentation by the final weights
            (`seglab evaluate run=RUN data.split=train`): rows of `per_image.parquet` (tp, fp, fn
            lists; where there is a column `group`, whole groups are the units), or anything with tp,
            fp and fn, int64 `(N, C)`. None: not measured.
        val: Counts of the validation images.
        test: Counts of the test images.
        rules: Thresholds.

    Raises:
        DataError: A split has no images, or numbers of classes differ.
    """
    rules = rules or GapRules()
    given = {"train": train, "val": val, "test": test}
    splits = {name: _as_counts(name, one) for name, one in given.items() if one is not None}
    classes = _shared_classes(splits)
    scores = dict.fromkeys(splits, _UNDEFINED)
    without_test = not len(classes) and splits.pop("test", None) is not None
    if without_test:
        classes = _shared_classes(splits)
    if not len(classes):
        return _nothing_shared(scores)
    estimates = {name: _score(*pair, classes, rules.level) for name, pair in splits.items()}
    scores |= {name: _interval(estimate) for name, estimate in estimates.items()}
    gap = _difference(estimates, "train", "val")
    test_gap = _difference(estimates, "val", "test")
    kind = _kind(gap, rules) if train is not None else "not measured"
    left_out = next(iter(splits.values()))[0].tp.shape[1] - len(classes)
    remarks = _on_test(test_gap, scores)
    if without_test:
        remarks.append("Test was left out: no pixel of it is of a class that the others share.")
    if left_out:
        whose = "these" if without_test else "all"
        remarks.append(f"Means are over the {len(classes)} classes that {whose} splits have.")
    evidence = _evidence(kind, scores, gap, rules)
    indices = tuple(int(one) for one in classes)
    return GapVerdict(kind, scores, gap, test_gap, indices, evidence, " ".join(remarks))


def counts_of(per_image: pd.DataFrame) -> ImageCounts:
    """Return the counts in rows of `per_image.parquet` as arrays `(N, C)`."""
    tp, fp, fn = (np.array(per_image[name].tolist(), dtype=np.int64) for name in ("tp", "fp", "fn"))
    return ImageCounts(tp, fp, fn)


def _as_counts(name: str, given: Counts) -> tuple[ClassCounts, npt.NDArray[np.generic] | None]:
    groups = None
    if isinstance(given, pd.DataFrame):
        groups = given[GROUP].to_numpy(str) if GROUP in given else None
        given = counts_of(given)
    if not len(given.tp):
        raise DataError(f"the {_NAMES[name]} split has no scored images; score it first")
    return given, groups


def _shared_classes(splits: Mapping[str, tuple[ClassCounts, object]]) -> np.ndarray:
    counts = {name: int(one.tp.shape[1]) for name, (one, _) in splits.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{_NAMES[name]} {count}" for name, count in counts.items())
        raise DataError(f"expected the same classes in every split, got {listed}")
    present = [(one.tp + one.fn).sum(axis=0) > 0 for one, _ in splits.values()]
    return np.flatnonzero(np.logical_and.reduce(present))


def _nothing_shared(scores: dict[str, Interval]) -> GapVerdict:
    """Return the verdict where no class is in training and validation images, which decide."""
    where = " and ".join(_NAMES[name] for name in scores if name != "test")
    kind: GapKind = "cannot tell" if "train" in scores else "not measured"
    return GapVerdict(
        kind, scores, _UNDEFINED, _UNDEFINED, (), f"no class has pixels in {where} images"
    )


def _score(
    counts: ClassCounts, groups: npt.NDArray[np.generic] | None, classes: np.ndarray, level: float
) -> Estimate:
    chosen = ImageCounts(*(part[:, classes] for part in (counts.tp, counts.fp, counts.fn)))
    return score_interval(chosen, pooled_miou, level, independent_groups(groups))


def _difference(scores: Mapping[str, Estimate], better: str, worse: str) -> Interval:
    if better not in scores or worse not in scores:
        return _UNDEFINED
    return _interval(independent_difference(scores[better], scores[worse]))


def _interval(estimate: Estimate) -> Interval:
    return Interval(estimate.value, estimate.low, estimate.high)


def _kind(gap: Interval, rules: GapRules) -> GapKind:
    if gap.low > rules.margin:
        return "overfit"
    return "no overfit" if gap.high <= rules.margin else "cannot tell"


def _evidence(kind: GapKind, scores: Mapping[str, Interval], gap: Interval, rules: GapRules) -> str:
    if kind == "not measured":
        return (
            f"mIoU {scores['val'].score:.3f} on validation images, not measured on training images"
        )
    place = {
        "overfit": f", clearly above {rules.margin:g}",
        "no overfit": f", not above {rules.margin:g}",
        "cannot tell": "" if math.isnan(gap.low) else f", around {rules.margin:g}",
    }
    where = ", clearly below 0 (are the validation images easier?)" if gap.high < 0 else place[kind]
    return (
        f"mIoU {scores['train'].score:.3f} on training images, {scores['val'].score:.3f} on "
        f"validation images, gap {_signed(gap)}{where}"
    )


def _on_test(gap: Interval, scores: Mapping[str, Interval]) -> list[str]:
    if math.isnan(gap.score):
        return []
    test = f"Test {scores['test'].score:.3f}, validation minus test {_signed(gap)}"
    if gap.low > 0:
        why = "the validation score flatters: it chose the weights, or the test images are harder"
    elif gap.high < 0:
        why = "the test images are easier than the validation images"
    else:
        why = "no clear difference"
    return [f"{test}: {why}."]


def _signed(value: Interval) -> str:
    if math.isnan(value.low):
        return f"{value.score:+.3f} ({TOO_FEW_IMAGES})"
    return f"{value.score:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
