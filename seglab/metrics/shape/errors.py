"""What kind of mistake a prediction makes: at boundaries, confusing classes, missing or inventing.

Every wrong pixel has exactly one kind, so the kinds of an image add up to its wrong pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from seglab.metrics.shape.boundary import Flags, Labels
from seglab.metrics.shape.slices import boundary_band

KINDS = ("boundary", "missed", "hallucination", "confusion")
# An object of which less than this is found counts as missed, one with less support as invented.
FOUND = 0.1


@dataclass(frozen=True)
class ErrorBreakdown:
    """Wrong pixels of one image by kind.

    Attributes:
        pixels: Kind -> number of wrong pixels.
        pairs: Kind -> (target class, predicted class) of most of its pixels; only kinds that occur.
        wrong: All wrong pixels.
        valid: Pixels that are not ignored.
    """

    pixels: dict[str, int]
    pairs: dict[str, tuple[int, int]]
    wrong: int
    valid: int

    @property
    def main_kind(self) -> str | None:
        """The kind with most pixels; None where nothing is wrong."""
        return max(self.pixels, key=lambda kind: self.pixels[kind]) if self.wrong else None


def classify_errors(
    pred_mask: Labels, mask: Labels, ignore_index: int, only_class: int | None = None
) -> ErrorBreakdown:
    """Give every wrong pixel its kind, the first of these that fits.

    - missed: in a target object (connected region of a class) of which less than 10 % is predicted
      as its class;
    - hallucination: in a predicted region of which less than 10 % is of that class in the target;
    - boundary: within 0.75 % of the diagonal of a boundary of the target;
    - confusion: the rest, one class taken for another over a region.

    Args:
        pred_mask: Predicted classes, integer `(H, W)`.
        mask: Target, classes or the ignored index, `(H, W)`.
        ignore_index: Target value of pixels that count nowhere.
        only_class: Count only wrong pixels of which target or prediction is this class.
    """
    valid = mask != ignore_index
    wrong = valid & (pred_mask != mask)
    if only_class is not None:
        wrong &= (mask == only_class) | (pred_mask == only_class)
    missed = wrong & _unsupported(mask, pred_mask, valid)
    invented = wrong & ~missed & _unsupported(pred_mask, mask, valid)
    rest = wrong & ~missed & ~invented
    edge = rest & boundary_band(mask)
    kinds = {
        "boundary": edge,
        "missed": missed,
        "hallucination": invented,
        "confusion": rest & ~edge,
    }
    return ErrorBreakdown(
        pixels={kind: int(flags.sum()) for kind, flags in kinds.items()},
        pairs={
            kind: _commonest(mask, pred_mask, flags) for kind, flags in kinds.items() if flags.any()
        },
        wrong=int(wrong.sum()),
        valid=int(valid.sum()),
    )


def _unsupported(regions_of: Labels, other: Labels, valid: Flags) -> Flags:
    """Return the pixels of regions of one map whose class the other map hardly has there."""
    flags = np.zeros(valid.shape, dtype=np.bool_)
    for index in np.unique(regions_of[valid]):
        own = valid & (regions_of == index)
        count, regions = cv2.connectedComponents(own.astype(np.uint8))
        sizes = np.bincount(regions.ravel(), minlength=count)
        agreed = np.bincount(regions[own & (other == index)], minlength=count)
        alone = agreed < FOUND * sizes
        alone[0] = False
        flags |= alone[regions]
    return flags


def _commonest(mask: Labels, pred_mask: Labels, flags: Flags) -> tuple[int, int]:
    pairs, counts = np.unique(
        np.stack([mask[flags], pred_mask[flags]]).astype(np.int64), axis=1, return_counts=True
    )
    target, predicted = pairs[:, counts.argmax()]
    return int(target), int(predicted)
