"""Windows over images that are larger than what a model was trained on, or than memory holds.

MONAI has the like; it is not a dependency for one function. Importance and steps follow nnU-Net
(Isensee et al. 2021, "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation").

References:
    Isensee et al. (2021): https://doi.org/10.1038/s41592-020-01008-z
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seglab.core.errors import ShapeError
from seglab.inference.geometry import crop_padding, pad_to_multiple, resize_logits
from seglab.inference.options import PredictOptions
from seglab.inference.predict import predict_logits
from seglab.inference.predictor import check_sizes

_SIGMAS_PER_WINDOW = 8.0


class SlidingWindow:
    """Predict window by window and blend the logits, the middle of a window counting most.

    Convention:
        Windows are spread evenly at steps of at most `window * (1 - overlap)` pixels, the first
        flush with the top left, the last with the bottom right. A pixel's logits are the mean over
        the windows that hold it, weighted by a Gaussian about each window's centre with a standard
        deviation of an eighth of the window. An image smaller than the window is extended by
        reflection at the bottom and the right, as in `pad_to_multiple`. Hence a model that sees each
        pixel by itself gives what it gives on the whole image.

    Memory: one float32 sum of logits for the batch, and the logits of `batch_size` windows.

    Args:
        model: Image -> logits of the image's size, already in evaluation mode.
        window: (H, W) of a window.
        overlap: Least share of a window that its neighbour sees too, 0 to below 1.
        batch_size: Windows in one call of the model; the result does not depend on it.
        size_divisor: The multiple that the model wants both sides to be; other windows are padded.
        min_size: The smallest side that the model takes.

    Raises:
        ConfigError: An argument is out of its range; all that are, in one message.
    """

    def __init__(
        self,
        model: nn.Module,
        window: tuple[int, int],
        overlap: float = 0.5,
        batch_size: int = 4,
        size_divisor: int = 1,
        min_size: int = 1,
    ) -> None:
        found = PredictOptions.problems({"window": window, "overlap": overlap}, "sliding window")
        sizes = {"size_divisor": size_divisor, "min_size": min_size, "batch_size": batch_size}
        check_sizes("inference", found, **sizes)
        self.model = model
        self.window = (int(window[0]), int(window[1]))
        self.overlap = overlap
        self.batch_size = batch_size
        self.size_divisor = size_divisor
        self.min_size = min_size

    @torch.no_grad()
    def __call__(self, image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        """Return the blended logits; see `Predictor`.

        Returns:
            float32 `(B, num_classes, *mask_size)`.

        Raises:
            ShapeError: The image is not a float `(B, C, H, W)` with at least one image and pixel.
        """
        padded = self._pad(image)
        if len(image) == 0:
            raise ShapeError("expected at least one image, got a batch of none")
        size = (image.shape[2], image.shape[3])
        tops, lefts = self._starts(padded)
        sums: Tensor | None = None
        rows, columns = (_bell(side, image.device) for side in self.window)
        importance = rows[:, None] * columns
        for places in _batches(len(image), tops, lefts, self.batch_size):
            logits = self._predict(padded, places)
            if sums is None:
                sums = logits.new_zeros(
                    (len(image), logits.shape[1], *padded.shape[2:]), dtype=torch.float32
                )
            for (index, top, left), window_logits in zip(places, logits, strict=True):
                area = sums[index, :, top : top + self.window[0], left : left + self.window[1]]
                area.addcmul_(window_logits.float(), importance)
        assert sums is not None  # noqa: S101 - at least one image has at least one window
        # The Gaussian is a product, so its sum over a grid of windows is one too.
        sums /= _total(rows, tops, padded.shape[2])[:, None] * _total(
            columns, lefts, padded.shape[3]
        )
        return resize_logits(crop_padding(sums, size), mask_size)

    def _pad(self, image: Tensor) -> Tensor:
        # One side after the other, as `pad_to_multiple` has one smallest side for both.
        height, width = self.window
        taller = pad_to_multiple(image, 1, height)[..., : image.shape[-1]]
        return pad_to_multiple(taller, 1, width)[..., : taller.shape[-2], :]

    def _starts(self, padded: Tensor) -> tuple[list[int], list[int]]:
        tops, lefts = (
            window_starts(side, window, self.overlap)
            for side, window in zip(padded.shape[2:], self.window, strict=True)
        )
        return tops, lefts

    def _predict(self, padded: Tensor, places: list[tuple[int, int, int]]) -> Tensor:
        height, width = self.window
        windows = torch.stack(
            [
                padded[index, :, top : top + height, left : left + width]
                for index, top, left in places
            ]
        )
        return predict_logits(
            self.model, windows, size_divisor=self.size_divisor, min_size=self.min_size
        )


def window_starts(side: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along one side: the fewest with steps that are not too long.

    Args:
        side: Pixels, at least `window`.
        window: Pixels of a window.
        overlap: Least share of a window that its neighbour sees too, 0 to below 1.

    >>> window_starts(9, 4, 0.5)
    [0, 2, 3, 5]
    """
    # The small term mends products such as 100 * (1 - 0.9), which is a little below 10.
    longest_step = max(1, math.floor(window * (1.0 - overlap) + 1e-6))
    steps = -(-(side - window) // longest_step)
    return [round(index * (side - window) / steps) for index in range(steps + 1)] if steps else [0]


def _bell(side: int, device: torch.device) -> Tensor:
    """Return the Gaussian along one side of a window, float32, at most 1.

    It reaches e^-8 at the ends, so its square at a corner is 1e-7: far from what float32 loses.
    """
    distance = torch.arange(side, device=device, dtype=torch.float32) - (side - 1) / 2.0
    return torch.exp(-0.5 * (distance * (_SIGMAS_PER_WINDOW / side)) ** 2)


def _total(bell: Tensor, starts: list[int], side: int) -> Tensor:
    total = bell.new_zeros(side)
    for start in starts:
        total[start : start + len(bell)] += bell
    return total


def _batches(
    num_images: int, tops: list[int], lefts: list[int], batch_size: int
) -> Iterator[list[tuple[int, int, int]]]:
    """Yield (image, top, left), at most `batch_size` at a time, image by image."""
    places = [(index, top, left) for index in range(num_images) for top in tops for left in lefts]
    for start in range(0, len(places), batch_size):
        yield places[start : start + batch_size]
