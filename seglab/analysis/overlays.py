"""Pictures of masks: classes blended over an image, errors, ignored pixels hatched."""

from __future__ import annotations

import cv2
import numpy as np

from seglab.core.errors import ShapeError
from seglab.core.labels import LabelSpace
from seglab.runs import SamplePrediction

_WRONG = np.array([213, 94, 0], np.float32)
_HATCH_DARK, _HATCH_LIGHT = 0, 70


def blend(
    image: np.ndarray, mask: np.ndarray, labels: LabelSpace, alpha: float = 0.55
) -> np.ndarray:
    """Lay the colours of classes over an image.

    Args:
        image: uint8 RGB `(H, W, 3)`; resized to the mask if it has another size.
        mask: Integer `(Hm, Wm)`, class indices or the ignored index.
        labels: Palette and ignored index.
        alpha: Share of the class colour in 0..1. Ignored pixels show the image only.

    Returns:
        uint8 RGB `(Hm, Wm, 3)`.

    Raises:
        ShapeError: `alpha` is out of range.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ShapeError(f"alpha must lie in 0..1, got {alpha}")
    base = fit_image(image, mask.shape).astype(np.float32)
    weight = np.where(mask == labels.ignore_index, 0.0, alpha)[..., None].astype(np.float32)
    mixed = base * (1.0 - weight) + labels.colourise(mask).astype(np.float32) * weight
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def colour_mask(mask: np.ndarray, labels: LabelSpace) -> np.ndarray:
    """Return a mask in its palette, uint8 RGB `(H, W, 3)`; ignored pixels are hatched black."""
    return _hatched(labels.colourise(mask), mask == labels.ignore_index)


def error_map(sample: SamplePrediction, ignore_index: int) -> np.ndarray:
    """Return where a prediction is wrong.

    Returns:
        uint8 RGB of the size of the mask: the image in pale grey where the prediction is right,
        orange-red where it is wrong, hatched where ignored.
    """
    grey = cv2.cvtColor(fit_image(sample.image, sample.mask.shape), cv2.COLOR_RGB2GRAY)
    pale = np.repeat(150.0 + grey[..., None].astype(np.float32) * 0.4, 3, axis=2)
    ignored = sample.mask == ignore_index
    wrong = (sample.mask != sample.prediction) & ~ignored
    pale[wrong] = 0.12 * pale[wrong] + 0.88 * _WRONG
    return _hatched(np.rint(pale).astype(np.uint8), ignored)


def fit_image(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the image resized to `(H, W)`: by areas when shrinking, bilinear when growing."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method))


def _hatched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Put diagonal stripes where ignored; as wide in the figure whatever the size of the mask."""
    rows, columns = np.indices(where.shape)
    period = max(4, round(max(where.shape) / 40))
    light = (rows + columns) % period < max(1, period // 3)
    stripes = np.where(light, _HATCH_LIGHT, _HATCH_DARK).astype(np.uint8)[..., None]
    return np.where(where[..., None], stripes, picture)
