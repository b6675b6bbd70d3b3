"""What well-known libraries would call mIoU or Dice on the same predictions, and why they differ.

Computed from the counts of a run, so no library is needed and no image is read again. What each
library does stands in `explain.yaml`. Every rule whose library is installed is checked against it in
the tests; the others are written from the library's source and say so. All numbers leave void out: how
a library without an ignored index treats void pixels cannot be known from counts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from seglab.core.errors import DataError, ShapeError
from seglab.metrics.scores import (
    ClassCounts,
    Counts,
    Floats,
    dice_from_counts,
    iou_from_counts,
    mean_defined,
    per_image_scores,
)

IOU, DICE = "iou", "dice"
# The score that belongs into a paper; every other row is compared with that of its kind.
OURS = {IOU: "miou", DICE: "dice"}
_KORNIA_EPS = 1e-6


@dataclass(frozen=True)
class Convention:
    """One library's number for the same predictions.

    Args:
        name: The call.
        library: Whose convention it is, with the version that was checked.
        score: In [0, 1] or, where absent classes are -1, less; NaN where undefined.
        kind: `iou` or `dice`.
        why: What it averages over and what it does with absent classes.
        checked: Whether seglab's tests compare this with the library itself; False: by definition.
    """

    name: str
    library: str
    score: float
    kind: str
    why: str
    checked: bool


@dataclass(frozen=True)
class _Counts:
    tp: Counts
    fp: Counts
    fn: Counts

    def over_images(self) -> _Counts:
        return _Counts(*(counts.sum(axis=0) for counts in (self.tp, self.fp, self.fn)))

    def over_classes(self) -> _Counts:
        return _Counts(*(counts.sum(axis=-1) for counts in (self.tp, self.fp, self.fn)))

    def score(self, kind: str, absent: float = float("nan")) -> Floats:
        """Return IoU or Dice of every cell, with `absent` in place of 0/0."""
        formula = iou_from_counts if kind == IOU else dice_from_counts
        values = formula(self.tp, self.fp, self.fn)
        return np.where(np.isnan(values), absent, values)


VOID_NOTE = (
    "Void is left out of every row; a library without an ignored index counts or refuses such "
    "pixels unless they are taken out before."
)


def explain(per_image: pd.DataFrame | ClassCounts, class_names: Sequence[str]) -> list[Convention]:
    """Return the scores that libraries would give, the highest first, undefined ones last.

    Args:
        per_image: One row per image with `tp`, `fp` and `fn`, each C integers (`per_image.parquet`),
            or arrays `(N, C)` of these names. Void is in none of them.
        class_names: C names; those of absent classes are told.

    Raises:
        DataError: There is no image, or no such counts.
        ShapeError: There is not one name per class.
    """
    counts = _read(per_image)
    if counts.tp.shape[1] != len(class_names):
        raise ShapeError(
            f"expected one name for each of {counts.tp.shape[1]} classes, got {len(class_names)}"
        )
    note = _absent(counts, class_names)
    rows = [_convention(counts, note, **given) for given in _declared()]
    return sorted(rows, key=lambda row: (np.isnan(row.score), -row.score, row.kind != IOU))


@functools.cache
def _declared() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(
        Path(__file__).with_suffix(".yaml").read_text("utf-8")
    )
    return found


def _convention(
    counts: _Counts, note: str, *, rule: str, why: str, kind: str, **given: Any
) -> Convention:
    score = _RULES[rule](counts, kind, given.pop("absent", float("nan")))
    why += note if given.pop("tells_absent", False) else ""
    return Convention(score=float(score), kind=kind, why=why, **{"checked": True, **given})


def advise(conventions: Sequence[Convention], split: str, num_images: int) -> str:
    """Return one sentence: which of the numbers belongs into a paper, and how to name it."""
    ours = {row.kind: row.score for row in conventions if row.name in OURS.values()}
    return (
        f"Report {split}/miou = {ours[IOU]:.4f}, the mean over classes of one confusion matrix of "
        f"all {num_images} images without void, which is what Cityscapes, VOC, ADE20K and CamVid "
        f"results mean by mIoU (dice = {ours[DICE]:.4f} is its Dice); name any other row by its "
        "averaging, and compare only numbers of the same row."
    )


def _read(per_image: pd.DataFrame | ClassCounts) -> _Counts:
    try:
        parts = [
            np.stack([np.asarray(row, dtype=np.int64) for row in getattr(per_image, name)])
            for name in ("tp", "fp", "fn")
        ]
    except (AttributeError, ValueError) as error:
        raise DataError(
            "expected per-image counts tp, fp and fn, each with one integer per class, of at least "
            f"one image; {error}"
        ) from error
    if parts[0].ndim != 2 or len({part.shape for part in parts}) != 1:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise DataError(f"expected tp, fp and fn of one shape (N, C), got {shapes}")
    return _Counts(*parts)


def _absent(counts: _Counts, class_names: Sequence[str]) -> str:
    seen = counts.over_images()
    absent = seen.tp + seen.fp + seen.fn == 0
    names = [name for name, missing in zip(class_names, absent, strict=True) if missing]
    return f" Here {len(names)} of {len(class_names)}: {', '.join(names)}." if names else ""


def _dataset(counts: _Counts, kind: str, absent: float) -> float:
    """One sum over the images, then the mean over classes."""
    return mean_defined(counts.over_images().score(kind, absent))


def _pooled(counts: _Counts, kind: str, _absent: float) -> float:
    """One sum over images and classes."""
    return float(counts.over_images().over_classes().score(kind))


def _imagewise(counts: _Counts, kind: str, absent: float) -> float:
    """Mean over classes in each image, then over images."""
    return mean_defined(_row_means(counts.score(kind, absent)))


def _imagewise_pooled(counts: _Counts, kind: str, absent: float) -> float:
    return mean_defined(counts.over_classes().score(kind, absent))


def _pairs(counts: _Counts, kind: str, _absent: float) -> float:
    return mean_defined(counts.score(kind))


def _classes_of_image_means(counts: _Counts, kind: str, _absent: float) -> float:
    means = _row_means(counts.score(kind).T)
    return float(np.where(np.isnan(means), -1.0, means).mean())


def _present_in_image(counts: _Counts, kind: str, _absent: float) -> float:
    present = counts.tp + counts.fn > 0
    return mean_defined(_row_means(np.where(present, counts.score(kind), np.nan)))


def _present_in_dataset(counts: _Counts, kind: str, _absent: float) -> float:
    total = counts.over_images()
    return mean_defined(total.score(kind)[total.tp + total.fn > 0])


def _kornia(counts: _Counts, _kind: str, _absent: float) -> float:
    union = counts.tp + counts.fp + counts.fn
    return float(((counts.tp + _KORNIA_EPS) / (union + _KORNIA_EPS)).mean())


def _per_image(counts: _Counts, kind: str, _absent: float) -> float:
    return mean_defined(per_image_scores(counts)[kind == DICE])


def _row_means(values: Floats) -> Floats:
    return np.array([mean_defined(row) for row in values])


_RULES: dict[str, Callable[[_Counts, str, float], float]] = {
    "dataset": _dataset,
    "pooled": _pooled,
    "imagewise": _imagewise,
    "imagewise_pooled": _imagewise_pooled,
    "pairs": _pairs,
    "classes_of_image_means": _classes_of_image_means,
    "present_in_image": _present_in_image,
    "present_in_dataset": _present_in_dataset,
    "kornia": _kornia,
    "per_image": _per_image,
}
