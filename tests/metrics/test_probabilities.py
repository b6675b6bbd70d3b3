"""Histograms of probabilities: the ways of CPU and accelerator give the same integers."""

from __future__ import annotations

import pytest
import torch

from seglab.metrics.confidence import probabilities
from seglab.metrics.confidence.probabilities import UNIT, count_bins
from seglab.metrics.confidence.selective import RiskCoverage


def test_counts_and_sums_by_hand() -> None:
    bins = torch.tensor([[0, 2], [2, 1]])
    valid = torch.tensor([[True, True], [True, False]])
    weights = torch.tensor([[0.5, 0.25], [1.0, 0.75]])
    assert count_bins(bins, valid, 4).tolist() == [1, 0, 2, 0]
    assert (count_bins(bins, valid, 4, weights) / UNIT).tolist() == [0.5, 0, 1.25, 0]


def test_valid_broadcasts_over_classes() -> None:
    bins = torch.zeros(1, 3, 2, 2, dtype=torch.int64)
    valid = torch.tensor([[[True, False], [True, True]]])
    assert count_bins(bins, valid[:, None], 2).tolist() == [9, 0]


def test_accelerators_count_the_same() -> None:
    random = torch.Generator().manual_seed(0)
    bins = torch.randint(0, 7, (1000,), generator=random)
    weights = torch.rand(1000, generator=random)
    valid = torch.ones(1000, dtype=torch.bool)
    units = (weights * UNIT).round().long()
    scattered = probabilities._scatter(bins, units, 7)
    assert torch.equal(scattered, count_bins(bins, valid, 7, weights))
    ones = torch.ones_like(bins)
    assert torch.equal(probabilities._scatter(bins, ones, 7), count_bins(bins, valid, 7))


def test_target_is_split_into_classes_void_and_the_impossible() -> None:
    metric = RiskCoverage(3)
    mask = torch.tensor([[[0, 2, 255, 7, -1]]])
    *_, target, valid = metric.read_batch(torch.full((1, 3, 1, 5), 1 / 3), mask)
    assert target.tolist() == [[[0, 2, 0, 0, 0]]]
    assert valid.tolist() == [[[True, True, False, False, False]]]
    assert int(metric.invalid) == 2


@pytest.mark.parametrize("top", [1.02, 0.2, float("nan")])
def test_impossible_probabilities_are_counted(top: float) -> None:
    metric = RiskCoverage(3)
    probs = torch.zeros(1, 3, 1, 3)
    probs[0, 1, 0] = torch.tensor([top, 0.9, top])
    metric.read_batch(probs, torch.tensor([[[0, 0, 255]]]))
    assert int(metric.invalid) == 1
