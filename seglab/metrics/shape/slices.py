"""Parts of an image that are scored by themselves: the band at boundaries, objects by their size.

A slice of pixels is scored as if all other pixels were ignored: a pixel counts where the target
says that it belongs to the slice. So intersection over union keeps its meaning, and a false
positive counts in the slice it falls into.

References:
    Lin et al. (2014): https://arxiv.org/abs/1405.0312
    Kohli et al. (2009): https://doi.org/10.1007/s11263-008-0202-0
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from seglab.metrics.shape.boundary import Flags, Labels, boundary_tolerance

# Areas of objects in pixels, as in COCO (Lin et al., 2014).
SMALL, LARGE = 32**2, 96**2
BOUNDARY = ("boundary band", "interior")
SIZES = ("small objects", "medium objects", "large objects")


def boundary_band(mask: Labels, tolerance_px: float | None = None) -> Flags:
    """Return the pixels near a boundary between classes, the trimap of Kohli et al. (2009).

    Args:
        mask: Target `(H, W)`; the ignored index counts as one more class here, its pixels are left
            out when the band is scored.
        tolerance_px: Largest distance to a pixel of another class; None: `boundary_tolerance`.

    Returns:
        bool `(H, W)`.
    """
    height, width = mask.shape
    reach = round(boundary_tolerance(height, width) if tolerance_px is None else tolerance_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    labels = mask.astype(np.uint16)
    band: Flags = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return band


def object_areas(mask: Labels, ignore_index: int) -> npt.NDArray[np.int64]:
    """Return for each pixel the area of its object in pixels, 0 where the target is ignored.

    An object is a connected region (8 neighbours) of one class; two that touch are one.
    """
    areas = np.zeros(mask.shape, dtype=np.int64)
    for index in np.unique(mask):
        if index == ignore_index:
            continue
        _, regions, stats, _ = cv2.connectedComponentsWithStats((mask == index).astype(np.uint8))
        sizes = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        sizes[0] = 0
        areas += sizes[regions]
    return areas


def pixel_slices(mask: Labels, ignore_index: int) -> dict[str, Flags]:
    """Return the pixels of each slice of an image: bool `(H, W)` by name.

    Args:
        mask: Target `(H, W)`, class indices or the ignored index.
        ignore_index: Its pixels are in no slice of sizes.

    Returns:
        `BOUNDARY` and `SIZES` (small: under 32 x 32 pixels, large: 96 x 96 or more).
    """
    band = boundary_band(mask)
    areas = object_areas(mask, ignore_index)
    return {
        BOUNDARY[0]: band,
        BOUNDARY[1]: ~band,
        SIZES[0]: (areas > 0) & (areas < SMALL),
        SIZES[1]: (areas >= SMALL) & (areas < LARGE),
        SIZES[2]: areas >= LARGE,
    }
