"""What every place that pixels of a data set come from gives: decoded samples by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from seglab.core.errors import DataError, list_problems


class SampleStore(ABC):
    """All kept samples of a manifest, sorted by `sample_id`; rows are integers from 0.

    Images have the working size, masks the native one, so that scores are always taken on the mask
    as it was drawn.

    Attributes:
        sample_ids: Names of the samples.
        fingerprint: Of the manifest.
        channels: Of every image.
        dtype: Of every image.
        bands: Numbers of the bands that are the channels; None for RGB or grey.
    """

    sample_ids: list[str]
    fingerprint: str
    channels: int
    dtype: np.dtype
    bands: tuple[int, ...] | None

    @abstractmethod
    def image_hw(self, row: int) -> tuple[int, int]:
        """Return (H, W) in pixels of the image."""

    @abstractmethod
    def mask_hw(self, row: int) -> tuple[int, int] | None:
        """Return (H, W) in pixels of the mask, None for a sample without one."""

    @abstractmethod
    def image(self, row: int) -> np.ndarray:
        """Return the image, `(H, W, channels)` of `dtype`; it may be read-only."""

    @abstractmethod
    def mask(self, row: int) -> np.ndarray | None:
        """Return the mask, uint8 `(H, W)`, which may be read-only; None for a sample without one.

        Values are class indices or `ignore_index`.
        """

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.sample_ids)

    def rows(self, sample_ids: Iterable[str]) -> list[int]:
        """Return the rows of samples, in the order asked for.

        Raises:
            DataError: A sample is not among them; all such are listed.
        """
        wanted = list(sample_ids)
        unknown = [sample_id for sample_id in wanted if sample_id not in self._row_of]
        if unknown:
            title = f"samples not among the {len(self)} kept ones of the data set"
            raise DataError(list_problems(title, unknown))
        return [self._row_of[sample_id] for sample_id in wanted]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {sample_id: row for row, sample_id in enumerate(self.sample_ids)}
