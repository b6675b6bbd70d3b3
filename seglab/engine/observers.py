"""What is measured beside the confusion matrix while a split is scored; each is an `Observer`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seglab.core.labels import LabelSpace
from seglab.engine.batches import Batch
from seglab.metrics.boundary import BoundaryCounts, boundary_counts, boundary_f1, boundary_iou
from seglab.metrics.calibration import CalibrationCounts, PixelSample, fit_temperature
from seglab.metrics.scores import mean_defined
from seglab.metrics.selective import RiskCoverage
from seglab.metrics.slices import pixel_slices
from seglab.metrics.surface import SurfaceScores, summarise_surfaces, surface_scores


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
        """Return boundary IoU and F1 of pooled counts, Hausdorff-95 and surface Dice of images."""
        pooled = BoundaryCounts.stack(self._counts).pool()
        surfaces = summarise_surfaces(self._surfaces)
        return {
            f"{split}/boundary_iou": mean_defined(boundary_iou(pooled)),
            f"{split}/boundary_f1": mean_defined(boundary_f1(pooled)),
            f"{split}/hd95": surfaces.hd95,
            f"{split}/hd95_missed": float(surfaces.missed),
            f"{split}/surface_dice": surfaces.surface_dice,
        }

    def per_image(self) -> pd.DataFrame:
        """Return sample_id with boundary_iou, boundary_f1 and hd95, means over classes; NaN if none."""
        rows = [
            {
                "sample_id": sample_id, "boundary_iou": mean_defined(boundary_iou(counts)),
                "boundary_f1": mean_defined(boundary_f1(counts)), "hd95": mean_defined(surface.hd95),
            }
            for sample_id, counts, surface in zip(
                self.sample_ids, self._counts, self._surfaces, strict=True
            )
        ]  # fmt: skip
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
        probs = logits.float().softmax(1)
        for metric in (self.calibration, self.selective):
            if metric.device != mask.device:
                metric.to(mask.device)
            metric.update(probs, mask)
        self.sample.add(logits, mask, batch["sample_id"])
        for index, sample_id in enumerate(batch["sample_id"]):
            half = self.halves[self._seen % 2]
            half.add(logits[index : index + 1], mask[index : index + 1], [sample_id])
            self._seen += 1

    def scores(self, split: str) -> dict[str, float]:
        """Return calibration errors, Brier score, area under risk-coverage, and the temperature.

        `ece_calibrated` is the error of the sampled pixels after scaling by a temperature that was
        fitted on the other half of the images; NaN for a single image.
        """
        scores = {
            f"{split}/ece": self.calibration.ece(),
            f"{split}/ece_classwise": self.calibration.classwise_ece(),
            f"{split}/brier": self.calibration.brier(),
            f"{split}/aurc": self.selective.aurc(),
            f"{split}/temperature": fit_temperature(*self.sample.pixels()),
            f"{split}/ece_calibrated": float("nan"),
        }
        if self._seen > 1:
            parts = [half.pixels() for half in self.halves]
            scores[f"{split}/ece_calibrated"] = cross_calibrated_ece(parts, self.labels.num_classes)
        return scores

    def reliability(self) -> pd.DataFrame:
        """Return the reliability table, rows by class and bin."""
        return pd.DataFrame(self.calibration.reliability_table(self.labels.class_names))

    def risk_coverage(self) -> pd.DataFrame:
        """Return the risk-coverage curve, rows by coverage."""
        return pd.DataFrame(self.selective.rows())


def cross_calibrated_ece(parts: list[tuple[Tensor, Tensor]], num_classes: int) -> float:
    """Return the calibration error when each part is scaled by what was fitted on the others.

    Args:
        parts: Two or more of float logits `(N, C)` and int64 targets `(N,)`, such as folds.
        num_classes: Number of classes C.
    """
    counts = CalibrationCounts(num_classes, ignore_index=-1)
    for index, (logits, targets) in enumerate(parts):
        others = [part for number, part in enumerate(parts) if number != index]
        temperature = fit_temperature(
            torch.cat([part[0] for part in others]), torch.cat([part[1] for part in others])
        )
        probs = (logits / temperature).softmax(1)
        counts.update(probs.T[None, :, :, None], targets[None, :, None])
    return counts.ece()


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
    return list(
        zip(batch["sample_id"], pred_mask.cpu().numpy().astype(np.int64), masks, strict=True)
    )
