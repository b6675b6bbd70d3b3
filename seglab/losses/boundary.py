"""The boundary loss: probability weighted by its distance from the true outline.

Distances are found on the CPU with OpenCV, one transform per class present in an image; on an
accelerator this copies the mask to the host, which waits for the device once a step.

References:
    Kervadec et al. (2019): https://arxiv.org/abs/1812.07032
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from seglab.losses.base import SegmentationLoss, weights_for
from seglab.losses.loss_inputs import LossInputs, safe_divide
from seglab.losses.options import BoundaryOptions


def boundary_loss(inputs: LossInputs, class_weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean over valid pixels of signed distance times probability.

    Kervadec et al. (2019), eq. 5 and their code: outside a class the distance in pixels to its
    nearest pixel, inside minus (the distance to the nearest pixel of another class - 1). Averaged
    over the classes present in the image with their weights, whatever other images are in the
    batch. The only class of an image has no outline there. Ignored pixels are no outline either.

    Add it to a region or pixel loss with a small weight (the paper starts at 0.01): by itself it
    barely moves, and it is in pixels. Costs about 0.5 ms per class and image of 192x256.

    Args:
        inputs: The batch.
        class_weights: Relative weights `(C,)` of the classes' terms.

    Returns:
        A scalar; negative when the probability lies well inside the true regions.
    """
    weights = weights_for(inputs, class_weights)
    present = (inputs.class_pixels > 0).to(inputs.logits.dtype)
    shares = present * (1 if weights is None else weights)
    shares = safe_divide(shares, shares.sum(1, keepdim=True))
    distances = signed_distances(inputs) * shares[:, :, None, None]
    return safe_divide((inputs.probs * distances).sum(), inputs.num_valid)


def signed_distances(inputs: LossInputs) -> torch.Tensor:
    """Return `(B, C, H, W)` in pixels, in the dtype of the logits: see `boundary_loss`.

    0 at ignored pixels, and for classes without an outline in the image.
    """
    batch_size, _, height, width = inputs.logits.shape
    target = torch.where(inputs.valid, inputs.target, -1).cpu().numpy()
    distances = np.zeros((batch_size, inputs.num_classes, height, width), dtype=np.float32)
    for index in range(batch_size):
        _fill_signed_distances(target[index], distances[index])
    return torch.from_numpy(distances).to(inputs.logits)


def _fill_signed_distances(target: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
    classes = [int(value) for value in np.unique(target) if value >= 0]
    if len(classes) < 2:
        return
    outside = np.stack([_distance_to(target == value) for value in classes])
    # A pixel has distance 0 to its own class, so the second smallest is that to any other class.
    inside = np.partition(outside, 1, axis=0)[1] - 1
    for value, distance in zip(classes, outside, strict=True):
        out[value] = np.where(target == value, -inside, distance)
    out[:, target < 0] = 0


def _distance_to(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    background = np.logical_not(region).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


class BoundaryLoss(SegmentationLoss):
    """See `boundary_loss`."""

    declared = BoundaryOptions

    def compute(self, inputs: LossInputs) -> torch.Tensor:
        """Return the loss of a prepared batch, a scalar."""
        return boundary_loss(inputs, self.class_weights)

    @property
    def is_mean_over_images(self) -> bool:
        """Each image counts by its valid pixels; class weights only share out its classes."""
        return True
