"""Counts of every single image, kept apart: what paired statistics and failure galleries need.

Three integers a class and image (tp, fp, fn) give IoU and Dice of any image, any resampling of
images and, summed, the split's. Kept on the device until they are gathered; no sync in the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from seglab.core.errors import DataError, ShapeError
from seglab.core.text.wording import joined

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PerImageTable:
    """Counts of N images and C classes; ignored pixels are in none of them.

    Args:
        sample_ids: N unique names, sorted, so that the table does not depend on the number of
            processes or the order of images.
        tp: int64 `(N, C)`, pixels of the class predicted as the class.
        fp: int64 `(N, C)`, pixels of other classes predicted as the class.
        fn: int64 `(N, C)`, pixels of the class predicted as another class.
    """

    sample_ids: tuple[str, ...]
    tp: Counts
    fp: Counts
    fn: Counts

    def __len__(self) -> int:
        return len(self.sample_ids)


class PerImageCounts:
    """Collects tp, fp and fn of each image with its sample id, in this process.

    Args:
        num_classes: Number of classes C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._sample_ids: list[str] = []
        self._counts: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._sample_ids)

    def reset(self) -> None:
        """Forget all images."""
        self._sample_ids = []
        self._counts = []

    def append(self, matrices: Tensor, sample_ids: Sequence[str]) -> None:
        """Add the images of one batch.

        Args:
            matrices: int64 `(B, C, C)` from `count_pairs`, rows = target, columns = prediction.
            sample_ids: B names.

        Raises:
            ShapeError: The matrices have another shape or number than the names and classes.
        """
        expected = (len(sample_ids), self.num_classes, self.num_classes)
        if tuple(matrices.shape) != expected:
            raise ShapeError(
                f"expected confusion matrices {expected} for {len(sample_ids)} sample ids and "
                f"{self.num_classes} classes, got {tuple(matrices.shape)}"
            )
        tp = matrices.diagonal(dim1=-2, dim2=-1)
        self._counts.append(torch.stack((tp, matrices.sum(-2) - tp, matrices.sum(-1) - tp), dim=1))
        self._sample_ids.extend(str(sample_id) for sample_id in sample_ids)

    def gather(self) -> PerImageTable:
        """Return the table of all processes, the same on each; every process must call it.

        Raises:
            DataError: A sample id occurs twice. The sums over the split then count it twice too, so
                nothing is dropped in silence: the sampler must hand out every image once.
        """
        local = self._local()
        parts: list[Any] = [(tuple(self._sample_ids), local)]
        if distributed.is_available() and distributed.is_initialized():
            parts = [None] * distributed.get_world_size()
            distributed.all_gather_object(parts, (tuple(self._sample_ids), local))
        sample_ids = [sample_id for ids, _ in parts for sample_id in ids]
        _check_unique(sample_ids)
        order = sorted(range(len(sample_ids)), key=sample_ids.__getitem__)
        counts = np.concatenate([rows for _, rows in parts])[order]
        return PerImageTable(
            tuple(sample_ids[index] for index in order), counts[:, 0], counts[:, 1], counts[:, 2]
        )

    def _local(self) -> Counts:
        if not self._counts:
            return np.zeros((0, 3, self.num_classes), dtype=np.int64)
        return np.asarray(torch.cat(self._counts).cpu().numpy(), dtype=np.int64)


def _check_unique(sample_ids: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(sample_ids).items() if count > 1)
    if repeated:
        raise DataError(
            f"{len(repeated)} samples were scored more than once: {joined(repeated, 5)}. Expected each image "
            "once over all processes; evaluate with a sampler that does not pad (seglab's "
            "EvalSampler, or Trainer(use_distributed_sampler=False)) and unique sample ids"
        )
