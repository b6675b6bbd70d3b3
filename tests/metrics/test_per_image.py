"""Single images: counts, order, and images that come twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seglab.core.errors import DataError, ShapeError
from seglab.metrics.per_image import PerImageCounts


def test_counts_by_hand_sorted_by_sample_id() -> None:
    counts = PerImageCounts(num_classes=2)
    counts.append(torch.tensor([[[3, 1], [2, 4]]]), ["b"])
    counts.append(torch.tensor([[[5, 0], [6, 7]], [[0, 0], [0, 0]]]), ["a", "c"])
    table = counts.gather()
    assert len(counts) == len(table) == 3
    assert table.sample_ids == ("a", "b", "c")
    assert table.tp.tolist() == [[5, 7], [3, 4], [0, 0]]
    assert table.fp.tolist() == [[6, 0], [2, 1], [0, 0]]
    assert table.fn.tolist() == [[0, 6], [1, 2], [0, 0]]
    assert table.tp.dtype == np.int64


def test_empty_and_reset() -> None:
    counts = PerImageCounts(num_classes=3)
    assert counts.gather().tp.shape == (0, 3)
    counts.append(torch.zeros(1, 3, 3, dtype=torch.int64), ["a"])
    counts.reset()
    assert counts.gather().sample_ids == ()


def test_padded_duplicates_are_refused_by_name() -> None:
    counts = PerImageCounts(num_classes=2)
    matrices = torch.ones(4, 2, 2, dtype=torch.int64)
    counts.append(matrices, ["a", "b", "c", "a"])
    with pytest.raises(DataError, match=r"1 samples were scored more than once: a\..*not pad"):
        counts.gather()


def test_wrong_number_of_names() -> None:
    with pytest.raises(ShapeError, match=r"\(1, 2, 2\) for 1 sample ids and 2 classes"):
        PerImageCounts(2).append(torch.zeros(2, 2, 2, dtype=torch.int64), ["a"])
