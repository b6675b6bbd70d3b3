"""Training images that are drawn more often than others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import ConfigError
from seglab.data.loading.sampler import TrainBatchSampler
from seglab.data.loading.sampling import class_shares, sample_weights, weighted_order
from seglab.data.options import SamplingOptions


def rows_of(pixels: list[list[int]], tags: list[list[str]] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"class_pixels": pixels, "tags": tags or [[] for _ in pixels]})


def test_weights_follow_the_rarest_class_of_an_image() -> None:
    # Class 1 is in one of four images, class 0 in all; the last column counts ignored pixels.
    rows = rows_of([[9, 0, 1], [9, 1, 0], [10, 0, 0], [5, 0, 5]])
    weights = sample_weights(rows, 2, SamplingOptions(rarity=0.5))
    assert weights == pytest.approx([1, np.sqrt(0.5 / 0.25), 1, 1])
    assert sample_weights(rows, 2, SamplingOptions(rarity=0.25)) is None
    assert sample_weights(rows, 2, SamplingOptions()) is None


def test_weights_of_tags_multiply() -> None:
    rows = rows_of([[1, 0], [1, 0], [1, 0]], [["night", "rain"], ["night"], []])
    options = SamplingOptions(tags={"night": 3, "rain": 0.5})
    assert sample_weights(rows, 1, options) == pytest.approx([1.5, 3, 1])
    with pytest.raises(
        ConfigError, match=r"no training image has the tag 'nigt' \(did you mean 'night'"
    ):
        sample_weights(rows, 1, SamplingOptions(tags={"nigt": 2}))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=40), st.integers(0, 9), st.integers(0, 9))
def test_each_image_comes_as_often_as_its_weight_says_rounded(
    weights: list[float], seed: int, epoch: int
) -> None:
    array = np.array(weights)
    order = weighted_order(array, seed, epoch)
    expected = len(weights) * array / array.sum()
    counts = np.bincount(order, minlength=len(weights))
    assert len(order) == len(weights)
    assert (counts >= np.floor(expected - 1e-9)).all()
    assert (counts <= np.ceil(expected + 1e-9)).all()
    assert np.array_equal(order, weighted_order(array, seed, epoch))


def test_over_many_epochs_rounding_evens_out() -> None:
    weights = np.array([1.0, 1.0, 1.0, 2.5])
    counts = sum(
        np.bincount(weighted_order(weights, 3, epoch), minlength=4) for epoch in range(2000)
    )
    assert counts / 2000 == pytest.approx(4 * weights / weights.sum(), abs=0.06)


def test_a_sampler_with_weights_is_taken_up_at_any_batch() -> None:
    weights = np.array([1.0] * 9 + [6.0])
    whole = list(TrainBatchSampler(10, 2, 1, True, weights=weights))
    later = TrainBatchSampler(10, 2, 1, True, weights=weights)
    later.set_position(0, 3)
    assert list(later) == whole[3:]
    drawn = [key.index for batch in whole for key in batch]
    assert drawn.count(9) == 4
    ranks = [TrainBatchSampler(10, 2, 1, True, rank, 2, weights) for rank in (0, 1)]
    assert [[*left, *right] for left, right in zip(*ranks, strict=True)] == whole


def test_shares_by_weight() -> None:
    pixels = np.array([[10, 0], [5, 5]])
    assert class_shares(pixels) == pytest.approx([0.75, 0.25])
    assert class_shares(pixels, np.array([1.0, 3.0])) == pytest.approx([25 / 40, 15 / 40])
    assert np.isnan(class_shares(np.zeros((2, 2)))).all()
