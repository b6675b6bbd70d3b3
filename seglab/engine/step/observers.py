"""What is measured beside the confusion matrix while a split is scored; each is an `Observer`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.engine.step.batches import Batch
from seglab.metrics.confidence.calibration import CalibrationCounts, PixelSample, fit_temperature
from seglab.metrics.confidence.selective import RiskCoverage, RiskCoverageCurve
from seglab.metrics.names import HD95, HD95_MISSED, HD95_PENALTY
from seglab.metrics.scores import mean_defined, mean_of_images
from seglab.metrics.shape.boundary import BoundaryCounts, boundary_counts, boundary_f1, boundary_iou
from seglab.metrics.shape.slices import pixel_slices
from seglab.metrics.shape.surface import SurfaceScores, summarise_surfaces, surface_scores


class BoundaryObserver:
    """Scores of boundaries, image by image.

    Args:
        labels: Classes and ignored index.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.sample_ids: list[str] = []
        self._counts: list[BoundaryCounts] = []
        self._surfaces: list[SurfaceScores] = []

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Count one batch; see `Observer`."""
        size = (self.labels.num_classes, self.labels.ignore_index)
        for sample_id, pred, mask in _images(batch, pred_mask):
            self.sample_ids.append(sample_id)
            self._counts.append(boundary_counts(pred, mask, *size))
            self._surfaces.append(surface_scores(pred, mask, *size))

    def scores(self, split: str) -> dict[str, float]:
        """Return boundary IoU and F1, Hausdorff-95 and surface Dice: means over images, then classes.

        A class that only target or prediction has counts `hd95_penalty` pixels, the image's
        diagonal, and 0 in the other scores; `hd95_missed` is how many (image, class) pairs did.
        """
        iou = mean_of_images([boundary_iou(counts) for counts in self._counts])
        f1 = mean_of_images([boundary_f1(counts) for counts in self._counts])
        surfaces = summarise_surfaces(self._surfaces)
        return {
            f"{split}/boundary_iou": mean_defined(iou),
            f"{split}/boundary_f1": mean_defined(f1),
            f"{split}/{HD95}": surfaces.hd95,
            f"{split}/{HD95_MISSED}": float(surfaces.missed),
            f"{split}/{HD95_PENALTY}": surfaces.penalty,
            f"{split}/surface_dice": surfaces.surface_dice,
        }

    def per_image(self) -> pd.DataFrame:
        """Return sample_id with boundary_iou, boundary_f1 and hd95, means over classes; NaN if none.

        Besides hd95_missed, the number of classes that got the penalty of `scores`.
        """
        rows = [
            {
                "sample_id": sample_id,
                "boundary_iou": mean_defined(boundary_iou(counts)),
                "boundary_f1": mean_defined(boundary_f1(counts)),
                HD95: mean_defined(surface.hd95),
                HD95_MISSED: int(surface.missed.sum()),
            }
            for sample_id, counts, surface in zip(
                self.sample_ids, self._counts, self._surfaces, strict=True
            )
        ]
        return pd.DataFrame(rows)


class ConfidenceObserver:
    """Whether the model knows what it does not know.

    Args:
        labels: Classes and ignored index.
    """

    def __init__(self, labels: LabelSpace) -> None:
        size = (labels.num_classes, labels.ignore_index)
        self.labels = labels
        self.calibration = CalibrationCounts(*size)
        self.selective = RiskCoverage(*size)
        self.sample = PixelSample(labels.ignore_index)
        # Two halves of the images: a temperature is fitted on one and judged on the other.
        self.halves = (PixelSample(labels.ignore_index), PixelSample(labels.ignore_index))
        self._seen = 0

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Count one batch; see `Observer`."""
        mask = batch["mask"]
        for metric in (self.calibration, self.selective):
            if metric.device != mask.device:
                metric.to(mask.device)
        # One by one: with many classes the histograms take several times the memory of the logits.
        for index, sample_id in enumerate(batch["sample_id"]):
            one, target = logits[index : index + 1], mask[index : index + 1]
            probs = one.float().softmax(1)
            self.calibration.update(probs, target)
            self.selective.update(probs, target)
            for sample in (self.sample, self.halves[self._seen % 2]):
                sample.add(one, target, [sample_id])
            self._seen += 1

    def scores(self, split: str) -> dict[str, float]:
        """Return calibration errors, Brier score, area under risk-coverage, and the temperature.

        `ece_calibrated` is the error of the sampled pixels after scaling by a temperature that was
        fitted on the other half of the images; NaN where there is no other half, and all of them
        where no pixel is labelled.
        """
        whole = pixels_of(self.sample)
        parts = [pixels_of(half) for half in self.halves]
        both = [Part(pixels, (0, place)) for place, pixels in enumerate(parts) if pixels]
        return {
            f"{split}/ece": self.calibration.ece(),
            f"{split}/ece_classwise": self.calibration.classwise_ece(),
            f"{split}/brier": self.calibration.brier(),
            f"{split}/aurc": self.selective.aurc(),
            f"{split}/temperature": fit_temperature(*whole) if whole else math.nan,
            f"{split}/ece_calibrated": cross_calibrated_ece(both, self.labels.num_classes),
        }

    def reliability(self) -> pd.DataFrame:
        """Return the reliability table, rows by class and bin."""
        return pd.DataFrame(self.calibration.reliability_table(self.labels.class_names))

    def risk_coverage(self) -> pd.DataFrame:
        """Return the risk-coverage curve, rows by coverage; none where no pixel is labelled."""
        columns = list(RiskCoverageCurve._fields)
        return pd.DataFrame(self.selective.rows(), columns=columns, dtype=np.float64)


class Part(NamedTuple):
    """Pixels that were scored together, such as those a fold held out.

    Args:
        pixels: Float logits `(N, C)` and int64 targets `(N,)`.
        place: (repeat, number): parts of one repeat and other numbers share no image.
    """

    pixels: tuple[Tensor, Tensor]
    place: tuple[int, int]


def pixels_of(sample: PixelSample) -> tuple[Tensor, Tensor] | None:
    """Return logits and targets of the sampled pixels; None where none is labelled."""
    try:
        return sample.pixels()
    except DataError:
        return None


def cross_calibrated_ece(parts: Sequence[Part], num_classes: int) -> float:
    """Return the calibration error when each part is scaled by what was fitted on other images.

    Args:
        parts: Each is scaled by a temperature fitted on the parts of its repeat with another number.
        num_classes: Number of classes C.

    Returns:
        The error; NaN where no part has others to be fitted on.
    """
    counts = CalibrationCounts(num_classes, ignore_index=-1)
    scaled = False
    for (logits, targets), (repeat, number) in parts:
        others = [
            part.pixels for part in parts if part.place[0] == repeat and part.place[1] != number
        ]
        if not others:
            continue
        joined = (torch.cat(column) for column in zip(*others, strict=True))
        probs = (logits / fit_temperature(*joined)).softmax(1)
        counts.update(probs.T[None, :, :, None], targets[None, :, None])
        scaled = True
    return counts.ece() if scaled else math.nan


class SliceObserver:
    """Counts a class for parts of each image; see `pixel_slices`.

    Args:
        labels: Classes and ignored index.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.sample_ids: list[str] = []
        # Name -> one int64 (3, C) an image: tp, fp, fn.
        self.counts: dict[str, list[np.ndarray]] = {}

    def update(self, batch: Batch, logits: Tensor, pred_mask: Tensor) -> None:
        """Count one batch; see `Observer`."""
        for sample_id, pred, mask in _images(batch, pred_mask):
            self.sample_ids.append(sample_id)
            for name, inside in pixel_slices(mask, self.labels.ignore_index).items():
                self.counts.setdefault(name, []).append(self._count(pred, mask, inside))

    def _count(self, pred: np.ndarray, mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
        num = self.labels.num_classes
        counted = inside & (mask != self.labels.ignore_index)
        target, predicted = mask[counted], pred[counted]
        tp = np.bincount(target[target == predicted], minlength=num)
        fp = np.bincount(predicted, minlength=num) - tp
        fn = np.bincount(target, minlength=num) - tp
        return np.stack([tp, fp, fn])


def _images(batch: Batch, pred_mask: Tensor) -> list[tuple[str, np.ndarray, np.ndarray]]:
    masks = batch["mask"].cpu().numpy()
    return list(zip(batch["sample_id"], pred_mask.cpu().numpy(), masks, strict=True))
