"""Scores per class as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from seglab.analysis.tables import Row
from seglab.core.errors import ShapeError
from seglab.metrics.names import declared_scores
from seglab.metrics.scores import mean_defined, num_classes_averaged


def class_table(confusions: Mapping[str, np.ndarray], class_names: Sequence[str]) -> list[Row]:
    """Return one row per class and a last row of means.

    Args:
        confusions: Split -> integer `(num_classes, num_classes)`, rows = target; the order of
            splits is the order of columns.
        class_names: One per class.

    Returns:
        Rows with `class` and, for each split, `{split} pixels` (of the target), `{split} IoU` and the
        other scores that are declared a class. A class absent from target and prediction is NaN and
        left out of the mean. The last row says how many classes each mean is over: `mean of 11`, or
        `mean of 11 (val), 10 (test)`.

    Raises:
        ShapeError: A matrix does not fit the names, or there is none.
    """
    count = len(class_names)
    wrong = [
        f"{split}: {np.shape(matrix)}"
        for split, matrix in confusions.items()
        if np.shape(matrix) != (count, count)
    ]
    if wrong or not confusions:
        came = "; ".join(wrong) or "none"
        raise ShapeError(f"expected matrices ({count}, {count}) for {count} classes, got {came}")
    rows: list[Row] = [{"class": name} for name in class_names]
    mean: Row = {"class": f"mean of {_counts(confusions)}"}
    for split, matrix in confusions.items():
        pixels = matrix.sum(axis=1)
        for row, number in zip(rows, pixels, strict=True):
            row[f"{split} pixels"] = int(number)
        mean[f"{split} pixels"] = int(pixels.sum())
        for one in (one for one in declared_scores("always") if one.per_class and one.shown):
            scores = one.load(one.per_class)(matrix)
            for row, score in zip(rows, scores, strict=True):
                row[f"{split} {one.title}"] = float(score)
            mean[f"{split} {one.title}"] = mean_defined(scores)
    return [*rows, mean]


def _counts(confusions: Mapping[str, np.ndarray]) -> str:
    averaged = {split: num_classes_averaged(matrix) for split, matrix in confusions.items()}
    if len(set(averaged.values())) == 1:
        return str(next(iter(averaged.values())))
    return ", ".join(f"{count} ({split})" for split, count in averaged.items())


def mixups(confusion: np.ndarray, class_names: Sequence[str], count: int) -> pd.DataFrame:
    """Return the largest confusions, one row a pair of classes.

    Args:
        confusion: Integer `(num_classes, num_classes)`, rows = target.
        class_names: One per class.
        count: At most so many.

    Returns:
        Columns target, prediction, pixels, share_of_target and share_of_prediction (0..1), and
        share_of_errors; most pixels first. Right pixels and empty cells are left out.
    """
    names = np.array(class_names, dtype=object)
    wrong = confusion * (1 - np.eye(len(confusion), dtype=np.int64))
    rows, columns = np.nonzero(wrong)
    pixels = wrong[rows, columns]
    frame = pd.DataFrame(
        {
            "target": names[rows],
            "prediction": names[columns],
            "pixels": pixels,
            "share_of_target": pixels / confusion.sum(axis=1)[rows],
            "share_of_prediction": pixels / confusion.sum(axis=0)[columns],
            "share_of_errors": pixels / max(1, int(wrong.sum())),
        }
    )
    ordered = frame.sort_values("pixels", ascending=False, kind="stable")
    return ordered.head(count).reset_index(drop=True)
