"""Test-time augmentation: the same image seen mirrored and at several scales, averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seglab.inference.geometry import resize_logits
from seglab.inference.options import PredictOptions
from seglab.inference.predictor import MeanProbability, Predictor

# Dimensions of (B, C, H, W) that are mirrored.
_FLIPS = {"h": (3,), "v": (2,), "hv": (2, 3)}


class TestTimeAugmentation:
    """Average the probabilities of mirrored and rescaled views of an image.

    Convention:
        Views are each scale as it is, and each scale under each flip: `(1 + flips) * scales`
        predictions, one after the other. Images are rescaled bilinearly with `align_corners=False`
        to the rounded size; each prediction comes back at the size of the mask (the predictor
        resizes its logits once, the same way) and is mirrored back. With no flip and the scale 1
        this is the predictor's log-softmax.

    Args:
        predictor: What is asked for each view.
        flips: Of "h" (left-right), "v" (up-down) and "hv" (both, a half turn).
        scales: Factors of both sides; 1.0 is only a view if it is listed.

    Raises:
        ConfigError: An unknown or repeated flip, no scale, a repeated one, or one that is not a
            positive number.
    """

    __test__ = False  # pytest takes the name for a test

    def __init__(
        self,
        predictor: Predictor,
        flips: Sequence[str] = ("h",),
        scales: Sequence[float] = (0.75, 1.0, 1.25),
    ) -> None:
        views = PredictOptions.read({"flips": flips, "scales": scales}, "tta")
        self.predictor = predictor
        self.flips, self.scales = views.flips, views.scales

    @torch.no_grad()
    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Return the logarithm of the mean probabilities; see `Predictor`.

        Returns:
            float32 `(B, num_classes, *mask_size)` (float64 from float64 logits).

        Raises:
            ShapeError: The image is not a float `(B, C, H, W)`.
        """
        size = mask_size or (image.shape[-2], image.shape[-1])
        mean = MeanProbability()
        for scale in self.scales:
            scaled = _rescale(image, scale)
            mean.add(self.predictor(scaled, size))
            for flip in self.flips:
                dims = _FLIPS[flip]
                mean.add(self.predictor(scaled.flip(dims), size).flip(dims))
        return mean.log_mean()


def _rescale(image: Tensor, scale: float) -> Tensor:
    height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
    # The rule for logits is the rule here; what it widens goes back to what the model takes.
    return resize_logits(image, (height, width)).to(image.dtype)
