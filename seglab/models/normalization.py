"""Mean and standard deviation an encoder was trained with, for any number of image channels.

Wrong values cost accuracy without any error, so they come from the encoder's own pretrained
configuration and never from the user's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Weights of red, green and blue in luma (ITU-R BT.601), as OpenCV and Pillow turn RGB into grey.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Normalization:
    """`(image - mean) / std` for images in [0, 1], one value per channel."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def for_channels(self, in_channels: int) -> Normalization:
        """Return the values for images of `in_channels` channels.

        Grey (1): the luma-weighted mean of the three. Otherwise the three repeat in turn, as timm
        repeats the weights of the first convolution.
        """
        if in_channels == len(self.mean):
            return self
        return Normalization(_spread(self.mean, in_channels), _spread(self.std, in_channels))


def _spread(values: tuple[float, ...], in_channels: int) -> tuple[float, ...]:
    if in_channels == 1 and len(values) == len(_LUMA):
        luma = sum(weight * value for weight, value in zip(_LUMA, values, strict=True))
        return (round(luma, 6),)
    return tuple(values[channel % len(values)] for channel in range(in_channels))
