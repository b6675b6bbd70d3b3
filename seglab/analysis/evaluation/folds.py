"""What the folds of a cross-validation say together: mean, spread, interval, and a box plot."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seglab.analysis.run_sources import RunLike, run_file, run_title
from seglab.analysis.statistics import corrected_t_test, score_bounds
from seglab.analysis.style import BLUE, ORANGE, Look, new_figure, styled
from seglab.analysis.tables import Row
from seglab.metrics.names import IOU, MIOU, declared_scores, metric_key, shown_scores

_BOX: Look = {
    "orientation": "horizontal",
    "widths": 0.55,
    "showfliers": False,
    "patch_artist": True,
}
_BY_TRAINING = "train with `seglab train cv=kfold` to get one"


def summarise_folds(scores: pd.DataFrame, split: str) -> dict[str, float]:
    """Return the metrics of a cross-validation's record.

    Args:
        scores: One row per fold: `images`, `train_images`, declared scores such as `miou`, and those of
            classes, such as `iou/<class>`.
        split: Split that the folds were scored on; the first part of the keys.

    Returns:
        For each score with a better end the mean under `{split}/miou` and so on, and `..._std`,
        `..._low`, `..._high` (95 % by `corrected_t_test`: trainings of folds overlap; NaN with fewer
        than `MIN_REPEATS` folds); for each class the mean under `{split}/iou/<class>` and
        `{split}/iou_std/<class>`; `num_folds`.
    """
    ratio = float((scores["images"] / scores["train_images"]).mean())
    metrics: dict[str, float] = {"num_folds": float(len(scores))}
    for score in (one for one in declared_scores("always") if one.better and one.name in scores):
        name, limits = score.name, (0.0, score.highest)
        one = score_bounds(corrected_t_test(scores[name].to_numpy(), ratio), limits)
        key = metric_key(split, name)
        metrics |= {
            key: one.value,
            f"{key}_std": _spread(scores[name]),
            f"{key}_low": one.low,
            f"{key}_high": one.high,
        }
    for column in (column for column in map(str, scores) if "/" in column):
        name, _, class_name = column.partition("/")
        metrics[metric_key(split, name, class_name)] = float(scores[column].mean())
        metrics[metric_key(split, f"{name}_std", class_name)] = _spread(scores[column])
    return metrics


def _spread(scores: pd.Series) -> float:
    """Return the standard deviation between folds (n - 1); NaN for one fold."""
    return float(scores.std(ddof=1))


def class_columns(scores: pd.DataFrame) -> list[str]:
    """Return the columns of the classes, in order."""
    return [column for column in map(str, scores) if column.startswith(f"{IOU}/")]


def fold_table(scores: pd.DataFrame) -> list[Row]:
    """Return one row per fold and a last one with mean and standard deviation of the scores."""
    shown = {one.name: one.title for one in shown_scores("always") if one.name in scores}
    rows: list[Row] = [
        {
            "fold": str(row["fold"]),
            "train": int(row["train_images"]),
            "held out": int(row["images"]),
            **{title: float(row[name]) for name, title in shown.items()},
        }
        for _, row in scores.iterrows()
    ]
    mean: Row = {"fold": "mean", "train": "", "held out": ""}
    std: Row = {"fold": "std", "train": "", "held out": ""}
    for name, label in shown.items():
        mean[label], std[label] = float(scores[name].mean()), _spread(scores[name])
    return [*rows, mean, std]


def fold_scores(cv_run: RunLike) -> pd.DataFrame:
    """Return one row per fold of a cross-validation: its images, its run and its scores.

    Returns:
        Columns repeat, fold, run_id, status, images, miou, dice and `iou/<class>`, among others.

    Raises:
        RunNotFoundError: The run is no finished cross-validation.
    """
    return run_file(cv_run, "fold_scores.parquet", ("fold", "miou"), _BY_TRAINING)


def fold_boxplot(folds: RunLike | pd.DataFrame, title: str = "") -> Figure:
    """Draw the IoU of each class and the mean over folds: a box and the folds as points.

    Args:
        folds: A cross-validation, or the scores of its folds as `summarise_folds` takes them.
        title: Above the figure; the run by default.

    Raises:
        RunNotFoundError: The run is no finished cross-validation.
    """
    if isinstance(folds, pd.DataFrame):
        scores = folds
    else:
        scores, title = fold_scores(folds), title or run_title(folds)
    columns = [MIOU, *class_columns(scores)]
    values = [scores[column].dropna().to_numpy(dtype=np.float64) for column in columns]
    places = np.arange(len(columns), dtype=np.float64)[::-1]
    with styled():
        figure = new_figure(7.0, 0.9 + 0.32 * len(columns))
        axes = figure.add_subplot()
        for place, points, colour in zip(
            places, values, [BLUE, *[ORANGE] * len(columns)], strict=False
        ):
            look: Look = {name: {"color": colour} for name in ("whiskerprops", "capprops")}
            look["boxprops"] = {"facecolor": f"{colour}33", "edgecolor": colour}
            look["medianprops"] = {"color": colour, "linewidth": 2}
            axes.boxplot(points, positions=[place], **_BOX, **look)
            axes.plot(points, 0 * points + place, "o", color=colour, markersize=4, alpha=0.8)
        axes.set_yticks(places, ["mean of classes", *(c.partition("/")[2] for c in columns[1:])])
        axes.set(xlim=(0, 1), xlabel="IoU on held-out images; a point is a fold", title=title)
    return figure
