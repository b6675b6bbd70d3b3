"""What the folds of a cross-validation say together: mean, spread, interval, and a box plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from seglab.analysis.style import BLUE, ORANGE, new_figure, styled
from seglab.metrics.names import DICE, IOU, MIOU, metric_key


@dataclass(frozen=True)
class FoldMean:
    """A score over folds.

    Attributes:
        mean: Mean over the folds in which it is defined.
        std: Standard deviation between folds (n - 1), NaN for one fold.
        low: Lower end of the interval of the mean, NaN for one fold.
        high: Upper end.
        count: Folds it is defined in.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int


def fold_mean(scores: Sequence[float], test_to_train: float, level: float = 0.95) -> FoldMean:
    """Return mean, spread and interval of a score over folds.

    The folds' training sets overlap, so their scores are not independent and the plain standard
    error is too small. The variance is corrected as by Nadeau and Bengio (2003, section 3.2, eq. 9):
    s^2 (1/J + n_test / n_train) over J folds, with Student's t of J - 1 degrees of freedom.

    Args:
        scores: One a fold; NaN where undefined (left out).
        test_to_train: Held-out over training images of a fold.
        level: Of the interval, in (0, 1).

    >>> one = fold_mean([0.5, 0.7], 1.0)
    >>> round(one.mean, 3), round(one.std, 3)
    (0.6, 0.141)
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[np.isfinite(values)]
    count, nan = len(values), float("nan")
    if count == 0:
        return FoldMean(nan, nan, nan, nan, 0)
    mean = float(values.mean())
    if count == 1:
        return FoldMean(mean, nan, nan, nan, 1)
    variance = float(values.var(ddof=1))
    error = float(np.sqrt(variance * (1 / count + test_to_train)))
    half = float(stats.t.ppf(0.5 + level / 2, count - 1)) * error
    return FoldMean(mean, float(np.sqrt(variance)), mean - half, mean + half, count)


def summarise_folds(scores: pd.DataFrame, split: str) -> dict[str, float]:
    """Return the metrics of a cross-validation's record.

    Args:
        scores: One row a fold: `images`, `train_images`, `miou`, `dice` and `iou/<class>`.
        split: Split that the folds were scored on; the first part of the keys.

    Returns:
        For miou and dice the mean under `{split}/miou` and `..._std`, `..._low`, `..._high`; for
        each class the mean under `{split}/iou/<class>` and `{split}/iou_std/<class>`; `num_folds`.
    """
    ratio = float((scores["images"] / scores["train_images"]).mean())
    metrics: dict[str, float] = {"num_folds": float(len(scores))}
    for name in (MIOU, DICE):
        one = fold_mean(scores[name].tolist(), ratio)
        key = metric_key(split, name)
        metrics |= {
            key: one.mean, f"{key}_std": one.std, f"{key}_low": one.low, f"{key}_high": one.high,
        }  # fmt: skip
    for column in class_columns(scores):
        one = fold_mean(scores[column].tolist(), ratio)
        class_name = column.partition("/")[2]
        metrics[metric_key(split, IOU, class_name)] = one.mean
        metrics[metric_key(split, f"{IOU}_std", class_name)] = one.std
    return metrics


def class_columns(scores: pd.DataFrame) -> list[str]:
    """Return the columns of the classes, in order."""
    return [column for column in map(str, scores) if column.startswith(f"{IOU}/")]


def fold_table(scores: pd.DataFrame) -> list[dict[str, str | int | float]]:
    """Return one row a fold and a last one with mean and standard deviation of the scores."""
    rows: list[dict[str, str | int | float]] = [
        {"fold": str(row["fold"]), "train": int(row["train_images"]), "held out": int(row["images"]),
         "mIoU": float(row[MIOU]), "Dice": float(row[DICE])}
        for _, row in scores.iterrows()
    ]  # fmt: skip
    mean: dict[str, str | int | float] = {"fold": "mean", "train": "", "held out": ""}
    std: dict[str, str | int | float] = {"fold": "std", "train": "", "held out": ""}
    for label, name in (("mIoU", MIOU), ("Dice", DICE)):
        one = fold_mean(scores[name].tolist(), 1.0)
        mean[label], std[label] = one.mean, one.std
    return [*rows, mean, std]


def fold_boxplot(scores: pd.DataFrame, title: str = "") -> Figure:
    """Draw the IoU of each class and the mean over folds: a box and the folds as points.

    Args:
        scores: As `summarise_folds` takes it.
        title: Above the figure.
    """
    columns = [MIOU, *class_columns(scores)]
    with styled():
        figure = new_figure(7.0, 0.9 + 0.32 * len(columns))
        axes = figure.add_subplot()
        places = np.arange(len(columns), dtype=np.float64)[::-1]
        for place, column in zip(places, columns, strict=True):
            values = scores[column].to_numpy(dtype=np.float64)
            _draw_box(axes, values[np.isfinite(values)], place, BLUE if column == MIOU else ORANGE)
        labels = ["mean of classes", *(str(column).partition("/")[2] for column in columns[1:])]
        axes.set_yticks(places, labels)
        axes.set_xlim(0, 1)
        axes.set_xlabel("IoU on held-out images; a point is a fold")
        axes.set_title(title)
    return figure


def _draw_box(axes: Axes, values: np.ndarray, place: float, colour: str) -> None:
    if not len(values):
        return
    line = {"color": colour}
    axes.boxplot(
        values, positions=[place], orientation="horizontal", widths=0.55, showfliers=False,
        patch_artist=True, boxprops={"facecolor": f"{colour}33", "edgecolor": colour},
        medianprops={"color": colour, "linewidth": 2}, whiskerprops=line, capprops=line,
    )  # fmt: skip
    axes.plot(values, np.full(len(values), place), "o", color=colour, markersize=4, alpha=0.8)
