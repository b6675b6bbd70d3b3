"""Does a model do worse on images it was not trained on, and by how much?

Curves of losses show when a run begins to overfit (`seglab.analysis.verdict`); this holds the final
scores of training, validation and test images against each other. The splits are different images,
so each is bootstrapped by itself and the differences of independent resamples give the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from seglab.core.errors import DataError
from seglab.core.seeding import derive_seed
from seglab.metrics.bootstrap import ImageCounts, Interval, pooled_miou, resampled_scores
from seglab.metrics.scores import ClassCounts

GapKind = Literal["overfit", "no overfit", "cannot tell", "not measured"]
Counts = pd.DataFrame | ClassCounts
_NAMES = {"train": "training", "val": "validation", "test": "test"}
_UNDEFINED = Interval(math.nan, math.nan, math.nan)
GROUP = "group"


@dataclass(frozen=True)
class GapRules:
    """Thresholds of `gap_verdict`, in mIoU.

    Args:
        margin: A smaller gap is nothing to act on.
        resamples: How often the images of each split are drawn again.
        seed: Seed of the resamples.
        level: Confidence of the intervals.
    """

    margin: float = 0.05
    resamples: int = 2000
    seed: int = 0
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
        sentence: The verdict with its numbers and what to do.
    """

    kind: GapKind
    scores: dict[str, Interval]
    gap: Interval
    test_gap: Interval
    classes: tuple[int, ...]
    sentence: str


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
            lists; where there is a column `group`, whole groups are drawn), or anything with tp,
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
    drawn = {name: _draw(name, *pair, classes, rules) for name, pair in splits.items()}
    scores |= {name: _interval(score, samples, rules) for name, (score, samples) in drawn.items()}
    gap = _difference(drawn, "train", "val", rules)
    test_gap = _difference(drawn, "val", "test", rules)
    kind = _kind(gap, rules) if train is not None else "not measured"
    left_out = next(iter(splits.values()))[0].tp.shape[1] - len(classes)
    sentence = _sentence(kind, scores, gap, rules) + _on_test(test_gap, scores)
    if without_test:
        sentence += " Test was left out: no pixel of it is of a class that the others share."
    if left_out:
        whose = "these" if without_test else "all"
        sentence += f" Means are over the {len(classes)} classes that {whose} splits have."
    return GapVerdict(kind, scores, gap, test_gap, tuple(int(one) for one in classes), sentence)


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
    sentence = f"Overfit or not cannot be told: no class has pixels in {where} images."
    return GapVerdict(kind, scores, _UNDEFINED, _UNDEFINED, (), sentence)


def _draw(
    name: str, counts: ClassCounts, groups: npt.NDArray[np.generic] | None, classes: np.ndarray,
    rules: GapRules,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """Return the score of a split, and those of its resamples."""
    chosen = ImageCounts(*(part[:, classes] for part in (counts.tp, counts.fp, counts.fn)))
    # A seed of its own: splits of equally many images would else be drawn alike.
    seed = derive_seed(rules.seed, "gap", name)
    scores, samples = resampled_scores([chosen], pooled_miou, rules.resamples, seed, groups)
    units = len(chosen.tp) if groups is None else len(np.unique(groups))
    # One image has no spread to be seen.
    return float(scores[0]), samples[0] if units > 1 else np.full(rules.resamples, np.nan)


def _difference(
    drawn: Mapping[str, tuple[float, np.ndarray]], better: str, worse: str, rules: GapRules
) -> Interval:
    if better not in drawn or worse not in drawn:
        return _UNDEFINED
    (first, samples), (second, others) = drawn[better], drawn[worse]
    return _interval(first - second, samples - others, rules)


def _interval(score: float, samples: np.ndarray, rules: GapRules) -> Interval:
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return Interval(score, math.nan, math.nan)
    tail = (1 - rules.level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(score, float(low), float(high))


def _kind(gap: Interval, rules: GapRules) -> GapKind:
    if gap.low > rules.margin:
        return "overfit"
    return "no overfit" if gap.high <= rules.margin else "cannot tell"


def _sentence(kind: GapKind, scores: Mapping[str, Interval], gap: Interval, rules: GapRules) -> str:
    if kind == "not measured":
        return (
            f"Overfit or not cannot be said without scores on training images (validation "
            f"{scores['val'].score:.3f}); get them by `seglab evaluate run=RUN data.split=train`."
        )
    numbers = (
        f"mIoU {scores['train'].score:.3f} on training images, {scores['val'].score:.3f} on "
        f"validation images, gap {_signed(gap)}"
    )
    if kind == "overfit":
        return (
            f"Overfit: {numbers}, clearly above {rules.margin:g}. Augment more, regularise, or add "
            "data."
        )
    if kind == "no overfit":
        more = " clearly below 0: are the validation images easier?" if gap.high < 0 else (
            f" not above {rules.margin:g}. A larger model or a longer training may still gain."
        )  # fmt: skip
        return f"No overfit: {numbers},{more}"
    return (
        f"Overfit or not cannot be told: {numbers}, around {rules.margin:g}. More validation images "
        "would tell."
    )


def _on_test(gap: Interval, scores: Mapping[str, Interval]) -> str:
    if math.isnan(float(gap.score)):
        return ""
    test = f"Test {scores['test'].score:.3f}, validation minus test {_signed(gap)}"
    if gap.low > 0:
        why = "the validation score flatters: it chose the weights, or the test images are harder"
    elif gap.high < 0:
        why = "the test images are easier than the validation images"
    else:
        why = "no clear difference"
    return f" {test}: {why}."


def _signed(value: Interval) -> str:
    if math.isnan(float(value.low)):
        return f"{value.score:+.3f} (interval unknown)"
    return f"{value.score:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
