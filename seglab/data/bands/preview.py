"""A few images of bands, to look at before anything is cached or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.core.bands import Bands
from seglab.core.errors import ConfigError
from seglab.data.bands.decode import decode_bands, select_bands
from seglab.data.bands.statistics import fit_bands


@dataclass(frozen=True)
class _InMemory:
    pixels: Sequence[np.ndarray]

    @property
    def dtype(self) -> np.dtype:
        return self.pixels[0].dtype

    def image(self, row: int) -> np.ndarray:
        return self.pixels[row]


def read_bands(
    paths: Sequence[Path], numbers: Sequence[int], display: Sequence[int] | None = None
) -> tuple[list[np.ndarray], Bands]:
    """Return images `(H, W, len(numbers))` as stored, and the statistics over them.

    Args:
        paths: The files, at least one.
        numbers: Bands to read, counted from 1.
        display: Bands to show; the first three when None.

    Raises:
        ConfigError: Bands to show are not among those read.
        DataError: Files cannot be read or lack a band.
    """
    if display is not None and not {*display} <= {*numbers}:
        raise ConfigError(
            f"--display-bands: expected three of {list(numbers)}, got {list(display)}"
        )
    images = [select_bands(decode_bands(path.read_bytes(), path), numbers, path) for path in paths]
    return images, fit_bands(_InMemory(images), range(len(images)), numbers, display)
