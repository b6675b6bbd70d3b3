"""Mean, deviation and percentiles of each band over the samples that a model is trained on.

References:
    Chan et al. (1983): https://doi.org/10.1080/00031305.1983.10483115
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from seglab.core.bands import MAX_BANDS, STRETCH, Bands, default_display, describe_numbers
from seglab.core.errors import ConfigError, DataError
from seglab.data.bands.decode import BandLayout
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)

# Where a manifest says what its images hold; plain RGB and grey have no such entry.
LAYOUT = "bands"
# Percentiles of floats come from so many pixels, spread evenly; those of integers from all.
_SAMPLED_PIXELS = 1_000_000


class _Images(Protocol):
    @property
    def dtype(self) -> np.dtype: ...

    def image(self, row: int) -> np.ndarray: ...


def layout_of(manifest: Manifest) -> BandLayout | None:
    """Return what the images of a data set hold; None for plain RGB or grey."""
    content = manifest.provenance.get(LAYOUT)
    return None if content is None else BandLayout(**content)


def choose_bands(wanted: Sequence[int] | None, manifest: Manifest) -> tuple[int, ...] | None:
    """Return the numbers of the bands to read; None to read RGB or grey.

    Args:
        wanted: `data.bands`; None takes all bands of images that hold bands.
        manifest: The data set.

    Raises:
        ConfigError: There are not so many bands, or more than a model may see.
    """
    layout = layout_of(manifest)
    if wanted is None:
        if layout is None:
            return None
        if layout.count > MAX_BANDS:
            raise ConfigError(
                f"data.bands: the images of {manifest.name} have {layout}; choose up to {MAX_BANDS}, "
                "by numbers counted from 1"
            )
        return tuple(range(1, layout.count + 1))
    gone = [number for number in wanted if layout is not None and number > layout.count]
    if layout is not None and gone:
        raise ConfigError(
            f"data.bands: the images of {manifest.name} have {layout}, numbered from 1; "
            f"there is no {describe_numbers(gone)}"
        )
    return tuple(wanted)


def fit_bands(
    images: _Images,
    rows: Sequence[int],
    numbers: Sequence[int],
    display: Sequence[int] | None = None,
) -> Bands:
    """Return the statistics of the bands over some images; every pixel counts, ignored ones too.

    Args:
        images: Gives `image(row)`, `(H, W, len(numbers))` of `dtype`.
        rows: Which images: those of the training part.
        numbers: Numbers of the bands in the file.
        display: Those that pictures show; the first three when None.

    Raises:
        DataError: There are no images.
    """
    if not rows:
        raise DataError("no training images to take the statistics of bands from")
    measured = _of_integers if images.dtype.kind == "u" else _of_floats
    mean, std, low, high = measured(images, rows)
    constant = [number for number, one in zip(numbers, std, strict=True) if not one > 0]
    if constant:
        log.warning("%s: one value in all training images", describe_numbers(constant))
    std = np.where(std > 0, std, 1.0)
    # A picture needs some range, also of a band that is nearly all one value.
    high = np.where(high > low, high, low + np.where(std > 0, std, 1.0))
    measures = {"mean": mean, "std": std, "low": low, "high": high}
    found: dict[str, Any] = {name: tuple(one.tolist()) for name, one in measures.items()}
    shown = tuple(display or default_display(numbers))
    return Bands(tuple(numbers), images.dtype.name, **found, display=shown)


Measured = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _of_integers(images: _Images, rows: Sequence[int]) -> Measured:
    """Return mean, deviation and both percentiles, exactly, from the counts of all values."""
    size = np.iinfo(images.dtype).max + 1
    counts: np.ndarray | None = None
    for row in rows:
        planes = np.moveaxis(images.image(row), -1, 0)
        own = np.stack([np.bincount(plane.ravel(), minlength=size) for plane in planes])
        counts = own if counts is None else counts + own
    assert counts is not None  # noqa: S101 - there is at least one row
    values, total = np.arange(size, dtype=np.float64), counts.sum(axis=1)
    mean = counts @ values / total
    variance = np.array([own @ (values - one) ** 2 for own, one in zip(counts, mean, strict=True)])
    so_far = counts.cumsum(axis=1)
    low, high = (
        np.array([np.searchsorted(own, share / 100 * own[-1]) for own in so_far], dtype=np.float64)
        for share in STRETCH
    )
    return mean, np.sqrt(variance / total), low, high


def _of_floats(images: _Images, rows: Sequence[int]) -> Measured:
    """Return mean and deviation of all pixels, and the percentiles of evenly spread ones."""
    each = max(1, _SAMPLED_PIXELS // len(rows))
    count, mean, squares, spread = 0, 0.0, 0.0, []
    for row in rows:
        pixels = images.image(row).reshape(-1, images.image(row).shape[-1]).astype(np.float64)
        # Chan et al. (1983): sums of squares about the means, which large offsets do not drown.
        own_mean, own_count = pixels.mean(axis=0), len(pixels)
        step = own_mean - mean
        total = count + own_count
        squares = squares + ((pixels - own_mean) ** 2).sum(axis=0)
        squares = squares + step**2 * count * own_count / total
        mean, count = mean + step * own_count / total, total
        spread.append(pixels[:: max(1, -(-own_count // each))])
    low, high = np.percentile(np.concatenate(spread), STRETCH, axis=0)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / count), low, high
