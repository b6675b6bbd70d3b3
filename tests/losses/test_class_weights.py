"""Class weights by hand, from the papers' formulas."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch

from seglab.core.errors import ConfigError, ShapeError
from seglab.losses.class_weights import (
    effective_number,
    enet,
    median_frequency,
    resolve_class_weights,
)

# Three images, four classes; the last class never occurs.
COUNTS = np.array([[60, 40, 0, 0], [90, 0, 10, 0], [50, 50, 100, 0]])


def test_median_frequency_divides_by_images_that_show_the_class() -> None:
    frequency = np.array([200 / 400, 90 / 300, 110 / 300])
    expected = [*(110 / 300 / frequency), 0]
    assert median_frequency(COUNTS) == pytest.approx(expected)


def test_enet() -> None:
    expected = [1 / math.log(1.02 + share) for share in (0.5, 90 / 400, 110 / 400)]
    assert enet(COUNTS) == pytest.approx([*expected, 0])


def test_effective_number() -> None:
    beta = 0.99
    expected = [(1 - beta) / (1 - beta**n) for n in (200, 90, 110)]
    assert effective_number(COUNTS, beta) == pytest.approx([*expected, 0])
    beta = 1 - 1 / (400 / 3)
    expected = [(1 - beta) / (1 - beta**n) for n in (200, 90, 110)]
    assert effective_number(COUNTS) == pytest.approx([*expected, 0])


def test_default_beta_still_tells_classes_apart_at_real_sizes() -> None:
    weights = effective_number(np.array([[300_000_000, 3_000_000, 90_000_000]]))
    assert 10 < weights[1] / weights[0] < 100
    assert np.allclose(effective_number([[300_000_000, 3_000_000]], beta=0.9999), 1e-4)


@pytest.mark.parametrize("method", [median_frequency, enet, effective_number])
def test_rare_classes_weigh_more_and_absent_ones_nothing(method: object) -> None:
    weights = method(COUNTS)
    assert weights[3] == 0
    assert weights[1] > weights[0]
    assert method(np.full((2, 3), 7)) == pytest.approx([method(np.full((2, 3), 7))[0]] * 3)


def test_resolve(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_class_weights(None, COUNTS) is None
    assert resolve_class_weights("none", COUNTS) is None
    given = resolve_class_weights([1, 2, 3, 0], torch.from_numpy(COUNTS))
    assert given.tolist() == [1.0, 2.0, 3.0, 0.0]
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        weights = resolve_class_weights("enet", COUNTS)
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(enet(COUNTS).tolist())
    assert "no training pixel of class 3" in caplog.text


def test_mistakes() -> None:
    with pytest.raises(ConfigError, match=r"got 'median' \(did you mean|got 'medianfrequency'"):
        resolve_class_weights("medianfrequency", COUNTS)
    with pytest.raises(ConfigError, match="expected 4 numbers, one per class, got 2"):
        resolve_class_weights([1, 2], COUNTS)
    with pytest.raises(ConfigError, match="finite"):
        resolve_class_weights([1, 2, 3, float("nan")], COUNTS)
    with pytest.raises(ConfigError, match=r"beta in \(0, 1\), got 1"):
        effective_number(COUNTS, beta=1)
    with pytest.raises(ShapeError, match=r"shape \(N, C\), got int64 \(4,\)"):
        enet(COUNTS[0])
    with pytest.raises(ShapeError, match="float64"):
        enet(COUNTS / 2)
    with pytest.raises(ShapeError, match="at least one labelled pixel"):
        enet(np.zeros((2, 3), dtype=np.int64))
