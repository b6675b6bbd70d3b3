"""Agreement beyond chance: Cohen's kappa of two annotators, Fleiss' of any number, from summed counts.

Both are functions of sums over pixels, so images can be added, and left out for an interval. A pixel
that an annotator left void says nothing of that annotator: Cohen's kappa takes pixels that both
labelled; Fleiss' those that at least two labelled, a pixel's agreement being that among those who did.
With the same number of labels on every pixel that is the formula of Fleiss (1971).

NaN where chance alone explains everything: where all pixels are of one class there is nothing to agree
on.

References:
    Cohen (1960): https://doi.org/10.1177/001316446002000104
    Fleiss (1971): https://doi.org/10.1037/h0031619
    Light (1971): https://doi.org/10.1037/h0031643
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def cohen_sums(confusions: npt.ArrayLike) -> Floats:
    """Return what Cohen's kappa needs of matrices `(..., C, C)`: `(..., 3 C)`.

    Diagonal, sums of rows and sums of columns, each `(..., C)`, side by side.
    """
    matrices = np.asarray(confusions, dtype=np.float64)
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.concatenate([diagonal, matrices.sum(-1), matrices.sum(-2)], axis=-1)


def cohen_kappa(sums: Floats, index: int | None = None) -> Floats:
    """Return Cohen's kappa (Cohen, 1960), `(...)` in [-1, 1].

    Args:
        sums: `cohen_sums`, `(..., 3 C)`, or sums of them.
        index: One class against all others; None: all classes.
    """
    same, rows, columns = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    total = rows.sum(-1)
    if index is None:
        chance = divide((rows * columns).sum(-1), total**2)
        return divide(divide(same.sum(-1), total) - chance, 1.0 - chance)
    first, second = divide(rows[..., index], total), divide(columns[..., index], total)
    both = divide(same[..., index], total)
    chance = first * second + (1.0 - first) * (1.0 - second)
    return divide(1.0 - first - second + 2.0 * both - chance, 1.0 - chance)


def fleiss_sums(masks: Sequence[npt.NDArray[np.uint8]], num_classes: int) -> Floats:
    """Return what Fleiss' kappa needs of one image: `(2 C + 1,)`.

    A class each: disagreement `n (N - n) / (N (N - 1))` summed over pixels, where n of N annotators
    chose it; then its share `n / N` summed likewise; then the number of pixels.

    Args:
        masks: One a annotator, `(H, W)`; values of `num_classes` and more are void.
        num_classes: Number of classes C.
    """
    stack = np.stack(masks)
    labelled = (stack < num_classes).sum(0)
    counted = labelled >= 2
    stack, number = stack[:, counted], labelled[counted].astype(np.float64)
    disagreement, share = np.zeros(num_classes), np.zeros(num_classes)
    for index in np.unique(stack[stack < num_classes]):
        chosen = (stack == index).sum(0)
        disagreement[index] = (chosen * (number - chosen) / (number * (number - 1.0))).sum()
        share[index] = (chosen / number).sum()
    return np.concatenate([disagreement, share, [float(number.size)]])


def fleiss_sums_of_two(sums: Floats) -> Floats:
    """Return `fleiss_sums` of two annotators from their `cohen_sums`: `(..., 2 C + 1)`."""
    same, rows, columns = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    share = (rows + columns) / 2.0
    return np.concatenate([share - same, share, rows.sum(-1, keepdims=True)], axis=-1)


def fleiss_kappa(sums: Floats, index: int | None = None) -> Floats:
    """Return Fleiss' kappa, `(...)` in [-1, 1].

    Args:
        sums: `fleiss_sums`, `(..., 2 C + 1)`, or sums of them.
        index: One class against all others (Fleiss, 1971, section 4); None: all classes.
    """
    disagreement, share = _mean_over_pixels(sums)
    if index is not None:
        chance = share[..., index] * (1.0 - share[..., index])
        return 1.0 - divide(disagreement[..., index], chance)
    chance = (share**2).sum(-1)
    return divide(1.0 - disagreement.sum(-1) - chance, 1.0 - chance)


def _mean_over_pixels(sums: Floats) -> tuple[Floats, Floats]:
    values = np.asarray(sums, dtype=np.float64)
    num_classes = values.shape[-1] // 2
    means = divide(values[..., :-1], values[..., -1:])
    return means[..., :num_classes], means[..., num_classes:]


def divide(top: npt.ArrayLike, bottom: npt.ArrayLike) -> Floats:
    """Return a quotient of any shape; NaN where nothing is divided by."""
    numerator, denominator = np.broadcast_arrays(np.asarray(top), np.asarray(bottom))
    defined = denominator > 1e-12
    return np.divide(numerator, denominator, out=np.full(defined.shape, np.nan), where=defined)
