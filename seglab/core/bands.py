"""Bands of images that are more, or deeper, than 8-bit RGB: which, of what type, how their values lie.

Made from the training part of a data set, recorded with the run, and used by everything that has to
know what a value means: normalisation, augmentation, pictures. Plain RGB and grey images of 8 bits
have none of this; wherever a `Bands` is optional, None stands for them. The configuration reads this
module, so numpy comes in only where pixels do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Type of the stored values -> the value that counts as 1 in the mean and deviation of a model.
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
MAX_BANDS = 16
# Percentiles that a picture shows as black and white, as geographic information systems do.
STRETCH = (2.0, 98.0)
_RGB = 3


@dataclass(frozen=True)
class Bands:
    """The bands a model sees, in the order of its channels.

    Attributes:
        numbers: Number of each band in the file, counted from 1.
        dtype: `uint8`, `uint16` or `float32`.
        mean: Mean of each band over the training part, in stored units.
        std: Standard deviation likewise; 1 for a band of one value.
        low: Percentile 2 of each band over the training part.
        high: Percentile 98 likewise; above `low`.
        display: Numbers of the bands that pictures show as red, green and blue.
    """

    numbers: tuple[int, ...]
    dtype: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    display: tuple[int, ...]

    @property
    def full_scale(self) -> float:
        """The stored value that counts as 1."""
        return FULL_SCALE[self.dtype]

    @property
    def like_rgb(self) -> bool:
        """Whether arrays have the form of RGB or grey images: uint8, one channel or three."""
        return self.dtype == "uint8" and len(self.numbers) in (1, _RGB)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """Return what to show of an image.

        Args:
            image: `(H, W, C)` of `dtype`, one channel per band.

        Returns:
            uint8 `(H, W, 3)`: the bands of `display`, percentile 2 of the training part black and 98
            at full brightness.
        """
        import numpy as np

        places = [self.numbers.index(number) for number in self.display]
        low, high = (np.array(ends, np.float32)[places] for ends in (self.low, self.high))
        return stretch(image[..., places], low, high)

    def sentence(self) -> str:
        """Return in one line what the model sees and what pictures show."""
        shown = ", ".join(str(number) for number in self.display)
        return (
            f"{describe_numbers(self.numbers)} of {self.dtype}, statistics of the training part; "
            f"pictures show bands {shown} as red, green, blue, percentiles {STRETCH[0]:g} to "
            f"{STRETCH[1]:g} of each"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Bands:
        """Return what `to_dict` wrote."""
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        return cls(**plain)


def describe_numbers(numbers: Sequence[int]) -> str:
    """Return the bands in words, such as `bands 4, 3, 2`."""
    return f"band{'s' * (len(numbers) > 1)} {', '.join(str(number) for number in numbers)}"


def default_display(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the bands to show where nobody said: the first three, or the first alone as grey."""
    return tuple(numbers[:_RGB]) if len(numbers) >= _RGB else (numbers[0],) * _RGB


def stretch(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return an image `(H, W, C)` as uint8, `low` of each channel at 0 and `high` at 255."""
    import numpy as np

    level = (image.astype(np.float32) - low) / np.maximum(high - low, np.float32(1e-12))
    return np.asarray(np.rint(255.0 * np.clip(level, 0.0, 1.0)), dtype=np.uint8)


def picture_of(image: np.ndarray, bands: Bands | None) -> np.ndarray:
    """Return what to show of an image `(H, W, C)` as uint8 `(H, W, 3)`; grey is repeated."""
    import numpy as np

    if bands is not None:
        return bands.picture(image)
    return np.repeat(image, _RGB, axis=2) if image.shape[2] == 1 else image
