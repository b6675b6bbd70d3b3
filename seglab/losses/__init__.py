"""Losses of semantic segmentation behind one interface: `loss(logits, mask)` is a scalar."""

from seglab.losses.base import SegmentationLoss
from seglab.losses.boundary import BoundaryLoss, boundary_loss
from seglab.losses.class_weights import (
    effective_number,
    enet,
    median_frequency,
    resolve_class_weights,
)
from seglab.losses.lovasz import LovaszLoss, lovasz_loss
from seglab.losses.pixels import Pixels
from seglab.losses.pixelwise import (
    CrossEntropyLoss,
    FocalLoss,
    OhemCrossEntropyLoss,
    cross_entropy,
    focal_loss,
    ohem_cross_entropy,
)
from seglab.losses.region import (
    DiceLoss,
    JaccardLoss,
    RegionOptions,
    TverskyLoss,
    dice_loss,
    jaccard_loss,
    tversky_loss,
)
from seglab.losses.weighted_sum import WeightedSum

__all__ = [
    "BoundaryLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "LovaszLoss",
    "OhemCrossEntropyLoss",
    "Pixels",
    "RegionOptions",
    "SegmentationLoss",
    "TverskyLoss",
    "WeightedSum",
    "boundary_loss",
    "cross_entropy",
    "dice_loss",
    "effective_number",
    "enet",
    "focal_loss",
    "jaccard_loss",
    "lovasz_loss",
    "median_frequency",
    "ohem_cross_entropy",
    "resolve_class_weights",
    "tversky_loss",
]
