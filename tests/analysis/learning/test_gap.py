from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from seglab.analysis.learning.gap import GapRules, counts_of, gap_verdict
from seglab.core.errors import DataError
from seglab.metrics.jackknife import score_interval
from seglab.metrics.pooled import ImageCounts

RULES = GapRules()


def images(
    iou: float, count: int = 40, spread: float = 0.05, seed: int = 0, classes: int = 2
) -> ImageCounts:
    """Counts whose images have about the given IoU in each class."""
    rng = np.random.default_rng(seed)
    share = np.clip(iou + rng.normal(0, spread, (count, classes)), 0, 1)
    tp = np.round(1000 * share).astype(np.int64)
    wrong = 1000 - tp
    return ImageCounts(tp, wrong // 2, wrong - wrong // 2)


def frame(counts: ImageCounts, **columns: object) -> pd.DataFrame:
    content = {name: list(part.tolist()) for name, part in counts._asdict().items()}
    return pd.DataFrame({**content, **columns})


def test_clear_gap_is_overfitting() -> None:
    verdict = gap_verdict(images(0.95), images(0.70, seed=1), rules=RULES)
    assert verdict.kind == "overfit"
    assert verdict.gap.score == pytest.approx(0.25, abs=0.02)
    assert 0.2 < verdict.gap.low < verdict.gap.score < verdict.gap.high < 0.3
    assert verdict.evidence.startswith("mIoU 0.9")
    assert verdict.evidence.endswith("clearly above 0.05")
    assert math.isnan(verdict.test_gap.score)
    assert verdict.remarks == ""


def test_no_gap_is_none() -> None:
    verdict = gap_verdict(images(0.72), images(0.70, seed=1), rules=RULES)
    assert verdict.kind == "no overfit"
    assert verdict.evidence.endswith("], not above 0.05")
    easier = gap_verdict(images(0.60), images(0.80, seed=1), rules=RULES)
    assert easier.kind == "no overfit"
    assert "are the validation images easier?" in easier.evidence


def test_few_images_cannot_tell() -> None:
    verdict = gap_verdict(images(0.8, 5, 0.2), images(0.72, 5, 0.2, seed=5), rules=RULES)
    assert verdict.kind == "cannot tell"
    assert verdict.gap.low < RULES.margin < verdict.gap.high
    for few in (1, 4):
        alone = gap_verdict(images(0.9, 30), images(0.5, few, seed=1), rules=RULES)
        assert alone.kind == "cannot tell"
        assert alone.evidence.endswith("(too few images to tell)")


def test_without_training_scores_it_is_not_measured() -> None:
    verdict = gap_verdict(None, images(0.7), images(0.6, seed=1), RULES)
    assert verdict.kind == "not measured"
    assert verdict.evidence.endswith("not measured on training images")
    assert math.isnan(verdict.gap.score)
    assert verdict.test_gap.score == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("iou", "words"),
    [
        (0.60, "the validation score flatters"),
        (0.80, "the test images are easier"),
        (0.70, "no clear difference"),
    ],
)
def test_test_split_is_held_against_validation(iou: float, words: str) -> None:
    verdict = gap_verdict(images(0.71), images(0.70, seed=1), images(iou, seed=2), RULES)
    assert words in verdict.remarks
    assert set(verdict.scores) == {"train", "val", "test"}


def test_scores_and_margins_agree_with_those_of_each_split() -> None:
    train, val = images(0.9), images(0.7, seed=1)
    verdict = gap_verdict(train, val, rules=RULES)
    for name, counts in (("train", train), ("val", val)):
        alone = score_interval(counts)
        assert verdict.scores[name] == (alone.value, alone.low, alone.high)
    # Independent splits: the variances add up.
    widths = [verdict.scores[name].high - verdict.scores[name].low for name in ("train", "val")]
    width = verdict.gap.high - verdict.gap.low
    assert width == pytest.approx(math.hypot(*widths), rel=0.15)


def test_same_counts_in_both_splits_still_vary_independently() -> None:
    counts = images(0.7, spread=0.2)
    verdict = gap_verdict(counts, counts, rules=RULES)
    assert verdict.gap.score == 0
    assert verdict.gap.high - verdict.gap.low > 0.02


def test_means_run_over_the_classes_all_splits_have() -> None:
    train, val = images(0.9, classes=3), images(0.88, seed=1, classes=3)
    # The third class is wholly missed in training and does not occur in validation.
    train.tp[:, 2], train.fn[:, 2] = 0, 1000
    val.tp[:, 2], val.fn[:, 2] = 0, 0
    verdict = gap_verdict(train, val, rules=RULES)
    assert verdict.classes == (0, 1)
    assert verdict.gap.score == pytest.approx(0.02, abs=0.02)
    assert verdict.remarks.endswith("Means are over the 2 classes that all splits have.")


def test_rows_of_a_record_are_read_and_groups_drawn_whole() -> None:
    counts = images(0.7, 40, 0.2)
    order = np.argsort(counts.tp.sum(axis=1))
    together = ImageCounts(*(part[order] for part in counts))
    val = frame(together)
    grouped = frame(together, group=[f"video{number // 8}" for number in range(40)])
    assert (counts_of(val).tp == together.tp).all()
    plain, by_group = (gap_verdict(images(0.9), one, rules=RULES) for one in (val, grouped))
    assert plain.gap.score == pytest.approx(by_group.gap.score)
    # Images of a group are alike here, so there is less to go by.
    assert by_group.gap.high - by_group.gap.low > 1.3 * (plain.gap.high - plain.gap.low)


def test_what_cannot_be_judged() -> None:
    empty = ImageCounts(*np.zeros((3, 0, 2), dtype=np.int64))
    with pytest.raises(DataError, match="the validation split has no scored images"):
        gap_verdict(images(0.9), empty)
    with pytest.raises(DataError, match="got training 2, validation 3"):
        gap_verdict(images(0.9), images(0.9, classes=3))
    one, other = images(0.9), images(0.9)
    one.tp[:, 0], one.fn[:, 0], other.tp[:, 1], other.fn[:, 1] = 0, 0, 0, 0
    verdict = gap_verdict(one, other, images(0.9))
    assert (verdict.kind, verdict.classes) == ("cannot tell", ())
    assert verdict.evidence == "no class has pixels in training and validation images"
    assert np.isnan([float(score.score) for score in verdict.scores.values()]).all()


def test_test_split_without_labels_leaves_the_gap_of_the_others_as_it_is() -> None:
    train, val = images(0.9), images(0.7, seed=1)
    void = ImageCounts(*np.zeros((3, 4, 2), dtype=np.int64))
    verdict, without = gap_verdict(train, val, void, RULES), gap_verdict(train, val, rules=RULES)
    assert (verdict.kind, verdict.gap, verdict.classes) == (
        without.kind,
        without.gap,
        without.classes,
    )
    assert np.isnan(float(verdict.test_gap.score))
    assert np.isnan(float(verdict.scores["test"].score))
    assert (verdict.evidence, verdict.remarks) == (
        without.evidence,
        "Test was left out: no pixel of it is of a class that the others share.",
    )
