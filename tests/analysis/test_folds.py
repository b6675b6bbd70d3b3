"""Mean, spread and interval over folds, by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seglab.analysis.evaluation.folds import fold_boxplot, fold_table, summarise_folds

SCORES = pd.DataFrame(
    {
        "fold": ["r0-f0", "r0-f1", "r0-f2"],
        "train_images": [20, 20, 20],
        "images": [10, 10, 10],
        "miou": [0.5, 0.6, 0.7],
        "dice": [0.6, 0.7, 0.8],
        "iou/car": [0.2, np.nan, 0.4],
    }
)


def test_interval_is_that_of_nadeau_and_bengio() -> None:
    metrics = summarise_folds(SCORES, "val")
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.01 * (1 / 3 + 0.5))
    assert metrics["val/miou_low"] == pytest.approx(0.6 - half)
    assert metrics["val/miou_high"] == pytest.approx(0.6 + half)


def test_one_fold_has_a_mean_and_no_spread() -> None:
    metrics = summarise_folds(SCORES.head(1), "val")
    assert metrics["val/miou"] == 0.5
    assert math.isnan(metrics["val/miou_std"])
    assert math.isnan(metrics["val/miou_low"])


def test_metrics_of_the_record() -> None:
    metrics = summarise_folds(SCORES, "val")
    assert metrics["num_folds"] == 3
    assert metrics["val/miou"] == pytest.approx(0.6)
    assert metrics["val/dice_std"] == pytest.approx(0.1)
    assert metrics["val/iou/car"] == pytest.approx(0.3)
    assert metrics["val/iou_std/car"] == pytest.approx(math.sqrt(0.02))
    assert metrics["val/miou_low"] < 0.6 < metrics["val/miou_high"]


def test_table_ends_with_mean_and_spread() -> None:
    rows = fold_table(SCORES)
    assert [row["fold"] for row in rows] == ["r0-f0", "r0-f1", "r0-f2", "mean", "std"]
    assert rows[3]["mIoU"] == pytest.approx(0.6)
    assert rows[4]["mIoU"] == pytest.approx(0.1)


def test_boxplot_shows_every_fold_of_every_class() -> None:
    axes = fold_boxplot(SCORES, "three folds").axes[0]
    points = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert points == [[0.5, 0.6, 0.7], [0.2, 0.4]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mean of classes", "car"]
