"""Risk and coverage against the exact curve: sort the pixels, drop the least confident."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics.confidence.selective import RiskCoverage


def image(confidences: list[float], right: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    """One row of pixels of two classes, class 0 predicted with the confidences given."""
    first = torch.tensor(confidences)
    probs = torch.stack((first, 1 - first))[None, :, None]
    return probs, torch.tensor([0 if one else 1 for one in right])[None, None]


def exact_curve(confidences: list[float], right: list[bool]) -> np.ndarray:
    """Risk after each pixel, the most confident first; confidences are distinct."""
    order = np.argsort(confidences)[::-1]
    wrong = ~np.asarray(right)[order]
    return wrong.cumsum() / np.arange(1, len(wrong) + 1)


def test_four_pixels_by_hand() -> None:
    metric = RiskCoverage(2)
    metric.update(*image([0.99, 0.9, 0.8, 0.6], [True, False, True, False]))
    curve = metric.compute()
    assert curve.coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert metric.aurc() == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert metric.rows()[2] == {"coverage": 0.75, "risk": pytest.approx(1 / 3)}


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_distinct_confidences_give_the_exact_curve(right: list[bool], random: object) -> None:
    # One per bin: the distance to 1 shrinks by a fifth from each to the next.
    confidences = [1 - 0.49 * 0.8**index for index in range(len(right))]
    random.shuffle(confidences)  # type: ignore[attr-defined]
    metric = RiskCoverage(2)
    metric.update(*image(confidences, right))
    risk = exact_curve(confidences, right)
    assert metric.compute().risk == pytest.approx(risk)
    assert metric.compute().coverage == pytest.approx(np.arange(1, len(risk) + 1) / len(risk))
    assert metric.aurc() == pytest.approx(risk.mean())


def test_ties_are_the_mean_over_all_orders() -> None:
    """Ten pixels of one confidence behind five of another: shuffle them and average."""
    right = [True] * 4 + [False] + [True] * 6 + [False] * 4
    metric = RiskCoverage(2)
    metric.update(*image([0.9] * 5 + [0.7] * 10, right))
    random, areas = np.random.default_rng(0), []
    for _ in range(20_000):
        wrong = ~np.concatenate([random.permutation(right[:5]), random.permutation(right[5:])])
        areas.append((wrong.cumsum() / np.arange(1, 16)).mean())
    assert metric.aurc() == pytest.approx(np.mean(areas), abs=5e-4)


def test_many_pixels_are_near_the_exact_curve() -> None:
    random = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(2, 5, 60, 80, generator=random)
    mask = (logits + 2 * torch.randn(logits.shape, generator=random)).argmax(1)
    mask[torch.rand(mask.shape, generator=random) < 0.1] = 255
    metric = RiskCoverage(5, from_logits=True)
    metric.update(logits, mask)
    confidence, pred = logits.softmax(1).max(1)
    valid = mask != 255
    risk = exact_curve(confidence[valid].tolist(), (pred == mask)[valid].tolist())
    assert metric.aurc() == pytest.approx(risk.mean(), abs=2e-4)
    curve = metric.compute()
    kept = np.rint(curve.coverage * len(risk)).astype(int)
    assert np.abs(curve.risk - risk[kept - 1]).max() < 1e-3
    assert curve.risk[-1] == pytest.approx(float((pred != mask)[valid].double().mean()))


def test_bins_tell_confidences_near_one_apart() -> None:
    confidences = [1 - 2.0**-power for power in (10, 15, 20)]
    metric = RiskCoverage(2, num_bins=100)
    metric.update(*image(confidences, [False, True, True]))
    assert metric.compute().risk.tolist() == [0, 0, pytest.approx(1 / 3)]
    sure = RiskCoverage(2)
    sure.update(*image([1.0, 1.0], [True, False]))
    assert sure.rows() == [{"coverage": 1.0, "risk": 0.5}]


def test_batches_and_void() -> None:
    whole, parts = RiskCoverage(2), RiskCoverage(2)
    probs, mask = image([0.99, 0.9, 0.8, 0.6], [True, False, True, False])
    whole.update(probs, mask)
    parts.update(probs[..., 2:], mask[..., 2:])
    parts.update(probs[..., :2], mask[..., :2])
    parts.update(probs, torch.full_like(mask, 255))
    assert whole.rows() == parts.rows()
    assert whole.aurc() == parts.aurc()


def test_nothing_scored_is_undefined() -> None:
    metric = RiskCoverage(2)
    metric.update(*(image([0.9], [True])[0], torch.full((1, 1, 1), 255)))
    assert np.isnan(metric.aurc())
    assert metric.rows() == []


def test_wrong_input_is_explained() -> None:
    with pytest.raises(ShapeError, match="at least one bin"):
        RiskCoverage(2, num_bins=0)
    with pytest.raises(LabelError, match="ignore_index outside"):
        RiskCoverage(2, ignore_index=0)
    metric = RiskCoverage(2)
    with pytest.raises(ShapeError, match="expected float scores"):
        metric.update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    metric.update(torch.full((1, 2, 1, 1), 3.0), torch.zeros(1, 1, 1, dtype=torch.int64))
    with pytest.raises(LabelError, match="from_logits=True"):
        metric.aurc()
