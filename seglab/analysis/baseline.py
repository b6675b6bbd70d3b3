"""Trivial predictors: the scores any trained model has to beat before it says anything.

`ConstantBaseline` shows what the class shares alone are worth, `ColourBaseline` what colour alone
is worth. Both are pure numpy; the scores come from `seglab.metrics`, as those of trained models do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, Self

import numpy as np

from seglab.core.errors import DataError, ShapeError
from seglab.core.labels import LabelSpace
from seglab.metrics.scores import miou

Pairs = Iterable[tuple[np.ndarray, np.ndarray]]
Arrays = Iterable[np.ndarray]


class _Baseline(Protocol):
    def predict(self, image: np.ndarray) -> np.ndarray: ...


def _check_pair(image: np.ndarray, mask: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ShapeError(f"expected an RGB uint8 image (H, W, 3), got {image.dtype} {image.shape}")
    if mask.ndim != 2 or mask.dtype.kind not in "iu":
        raise ShapeError(f"expected an integer mask (H, W), got {mask.dtype} {mask.shape}")


def _check_counted(pixels: int, what: str) -> None:
    if pixels == 0:
        raise DataError(f"no pixel with a class to {what}; the masks are empty or all ignored")


class ConstantBaseline:
    """Predicts the most frequent training class everywhere."""

    def __init__(self) -> None:
        self._counts: np.ndarray | None = None

    @property
    def class_index(self) -> int:
        """Class it predicts; of equally frequent ones the lowest.

        Raises:
            DataError: It is not fitted yet.
        """
        if self._counts is None:
            raise DataError("ConstantBaseline is not fitted; call fit first")
        return int(self._counts.argmax())

    def fit(self, images: Arrays, masks: Arrays, num_classes: int, ignore_index: int = 255) -> Self:
        """Count training pixels.

        Args:
            images: RGB uint8 `(H, W, 3)`; not looked at beyond their number.
            masks: Class indices `(H, W)`, one per image; ignored pixels do not count.
            num_classes: Number of classes.
            ignore_index: Value of ignored pixels.

        Returns:
            Itself.

        Raises:
            DataError: No pixel has a class.
        """
        counts = np.zeros(num_classes, dtype=np.int64)
        for image, mask in zip(images, masks, strict=True):
            _check_pair(image, mask)
            counts += np.bincount(_valid(mask, num_classes, ignore_index), minlength=num_classes)
        _check_counted(int(counts.sum()), "fit on")
        self._counts = counts
        return self

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Return uint8 `(H, W)`, one class everywhere, for an image `(H, W, 3)`."""
        return np.full(image.shape[:2], self.class_index, dtype=np.uint8)


class ColourBaseline:
    """Looks up the class most training pixels of the same colour had.

    Colours are quantised to `bins` steps a channel. The counts of a colour cell are smoothed with
    the class shares of the eighth of the colour range around it, and those with the shares of the
    whole training set (each prior weighs `strength` pixels), so that rare and unseen colours fall
    back to the colours near them and at last to the most frequent class.

    Args:
        bins: Steps a channel; a power of two, 4 to 64.
        strength: Weight of a prior in pixels, above 0.

    Raises:
        ShapeError: `bins` or `strength` is out of range.
    """

    def __init__(self, bins: int = 32, strength: float = 20.0) -> None:
        if bins not in {4, 8, 16, 32, 64}:
            raise ShapeError(f"bins must be 4, 8, 16, 32 or 64, got {bins}")
        if not strength > 0:
            raise ShapeError(f"strength must be above 0 pixels, got {strength}")
        self.bins = bins
        self.strength = strength
        self._table: np.ndarray | None = None

    def fit(self, images: Arrays, masks: Arrays, num_classes: int, ignore_index: int = 255) -> Self:
        """Count classes by colour over the training pixels.

        Args:
            images: RGB uint8 `(H, W, 3)`.
            masks: Class indices `(H, W)` of the same sizes; ignored pixels do not count.
            num_classes: Number of classes.
            ignore_index: Value of ignored pixels.

        Returns:
            Itself.

        Raises:
            DataError: No pixel has a class.
            ShapeError: An image and its mask differ in size, or are no RGB image and index mask.
        """
        counts = np.zeros(self.bins**3 * num_classes, dtype=np.int64)
        for image, mask in zip(images, masks, strict=True):
            _check_pair(image, mask)
            if image.shape[:2] != mask.shape:
                raise ShapeError(f"image has size {image.shape[:2]}, its mask {mask.shape}")
            labels = _valid(mask, num_classes, ignore_index)
            cells = self._cells(image)[mask != ignore_index]
            counts += np.bincount(cells * num_classes + labels, minlength=counts.size)
        _check_counted(int(counts.sum()), "fit on")
        shape = (self.bins, self.bins, self.bins, num_classes)
        self._table = self._majority(counts.reshape(shape).astype(np.float64))
        return self

    def _majority(self, counts: np.ndarray) -> np.ndarray:
        """Return the class of every colour cell, uint8 `(bins**3,)`."""
        share = counts.sum((0, 1, 2)) / counts.sum()
        step, num_classes = max(1, self.bins // 8), counts.shape[-1]
        split = (self.bins // step, step) * 3
        coarse = counts.reshape(*split, num_classes).sum((1, 3, 5)) + self.strength * share
        coarse /= coarse.sum(axis=-1, keepdims=True)
        for axis in range(3):
            coarse = coarse.repeat(step, axis=axis)
        smoothed = counts + self.strength * coarse
        return smoothed.argmax(axis=-1).astype(np.uint8).ravel()

    def _cells(self, image: np.ndarray) -> np.ndarray:
        steps = image.astype(np.int64) * self.bins // 256
        cells: np.ndarray = (steps[..., 0] * self.bins + steps[..., 1]) * self.bins + steps[..., 2]
        return cells

    def predict(self, image: np.ndarray) -> np.ndarray:
        """Return the class of each pixel's colour, uint8 `(H, W)`, for RGB uint8 `(H, W, 3)`.

        Raises:
            DataError: It is not fitted yet.
        """
        if self._table is None:
            raise DataError("ColourBaseline is not fitted; call fit first")
        predicted: np.ndarray = self._table[self._cells(image)]
        return predicted


def _valid(mask: np.ndarray, num_classes: int, ignore_index: int) -> np.ndarray:
    """Return the class indices of the pixels that count, int64 `(N,)`."""
    labels = mask[mask != ignore_index].astype(np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ShapeError(
            f"mask holds {labels.min()}..{labels.max()}, expected 0..{num_classes - 1} or "
            f"ignore_index {ignore_index}"
        )
    return labels


def baseline_scores(train: Pairs, evaluate: Pairs, labels: LabelSpace) -> dict[str, float]:
    """Fit both baselines and score them.

    Args:
        train: Pairs of image (RGB uint8 `(H, W, 3)`) and mask (class indices or ignored, `(H, W)`).
            Read once and kept in memory.
        evaluate: Pairs to score on, likewise; read once, one pair at a time.
        labels: The label space of all masks.

    Returns:
        `{"constant": ..., "colour": ...}`: the mIoU of each in 0..1, from one confusion matrix over
        all pixels of `evaluate`; NaN where no pixel counts. Ignored pixels count nowhere, and a
        class absent from both target and prediction is left out of the mean.

    Raises:
        DataError: No training pixel has a class.
        ShapeError: Images or masks have the wrong form.
    """
    pairs = list(train)
    images, masks = [image for image, _ in pairs], [mask for _, mask in pairs]
    fitted: dict[str, _Baseline] = {
        "constant": ConstantBaseline().fit(images, masks, labels.num_classes, labels.ignore_index),
        "colour": ColourBaseline().fit(images, masks, labels.num_classes, labels.ignore_index),
    }
    size = labels.num_classes
    confusion = {name: np.zeros((size, size), dtype=np.int64) for name in fitted}
    for image, mask in evaluate:
        _check_pair(image, mask)
        target = _valid(mask, size, labels.ignore_index)
        for name, baseline in fitted.items():
            predicted = baseline.predict(image)[mask != labels.ignore_index].astype(np.int64)
            pairs_seen = np.bincount(target * size + predicted, minlength=size * size)
            confusion[name] += pairs_seen.reshape(size, size)
    return {name: miou(matrix) for name, matrix in confusion.items()}
