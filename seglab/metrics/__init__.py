"""Metrics: integer counts first, scores as pure functions of them, one place for key names."""

from seglab.metrics.boundary import (
    BoundaryCounts,
    boundary_counts,
    boundary_f1,
    boundary_iou,
    boundary_tolerance,
)
from seglab.metrics.calibration import CalibrationCounts, PixelSample, fit_temperature
from seglab.metrics.confusion import confusion_matrices, count_pairs
from seglab.metrics.explain import Convention
from seglab.metrics.metric import SegmentationMetrics, SplitTotals
from seglab.metrics.names import metric_key, safe_class_names
from seglab.metrics.per_image import PerImageCounts, PerImageTable
from seglab.metrics.scores import (
    class_accuracy,
    class_counts,
    dice_from_counts,
    dice_per_class,
    frequency_weighted_iou,
    iou_from_counts,
    iou_per_class,
    mean_defined,
    mean_dice,
    miou,
    miou_present,
    num_classes_averaged,
    num_classes_present,
    per_image_score_dict,
    per_image_scores,
    pixel_accuracy,
    precision_per_class,
    recall_per_class,
    score_dict,
)
from seglab.metrics.selective import RiskCoverage
from seglab.metrics.surface import SurfaceScores, summarise_surfaces, surface_scores

__all__ = [
    "BoundaryCounts",
    "CalibrationCounts",
    "Convention",
    "PerImageCounts",
    "PerImageTable",
    "PixelSample",
    "RiskCoverage",
    "SegmentationMetrics",
    "SplitTotals",
    "SurfaceScores",
    "boundary_counts",
    "boundary_f1",
    "boundary_iou",
    "boundary_tolerance",
    "class_accuracy",
    "class_counts",
    "confusion_matrices",
    "count_pairs",
    "dice_from_counts",
    "dice_per_class",
    "fit_temperature",
    "frequency_weighted_iou",
    "iou_from_counts",
    "iou_per_class",
    "mean_defined",
    "mean_dice",
    "metric_key",
    "miou",
    "miou_present",
    "num_classes_averaged",
    "num_classes_present",
    "per_image_score_dict",
    "per_image_scores",
    "pixel_accuracy",
    "precision_per_class",
    "recall_per_class",
    "safe_class_names",
    "score_dict",
    "summarise_surfaces",
    "surface_scores",
]
