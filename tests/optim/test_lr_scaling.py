"""Learning rates that follow the batch: the rules, what they refuse, and that schedules start there."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seglab.core.errors import ConfigError
from seglab.optim import (
    SCHEDULES,
    LearningRates,
    LrScaling,
    build_optimizer,
    build_scheduler,
    step_after_batch,
)

RULES = get_args(LrScaling.model_fields["rule"].annotation)

BATCHES = st.integers(1, 4096)


@pytest.mark.parametrize(
    ("rule", "batch_size", "factor"),
    [
        ("none", 64, 1.0),
        ("linear", 64, 8.0),
        ("linear", 8, 1.0),
        ("linear", 4, 0.5),
        ("sqrt", 32, 2.0),
        ("sqrt", 2, 0.5),
    ],
)
def test_factor_of_each_rule(rule: Any, batch_size: int, factor: float) -> None:
    assert LrScaling(rule=rule, batch_size=8).factor(batch_size) == factor


@given(found=BATCHES, now=BATCHES, later=BATCHES)
def test_factors_can_be_chained_and_undone(found: int, now: int, later: int) -> None:
    for rule in RULES:
        there = LrScaling(rule=rule, batch_size=found).factor(now)
        assert there * LrScaling(rule=rule, batch_size=now).factor(found) == pytest.approx(1.0)
        assert there * LrScaling(rule=rule, batch_size=now).factor(later) == pytest.approx(
            LrScaling(rule=rule, batch_size=found).factor(later)
        )


@given(batch=BATCHES, lr=st.floats(1e-8, 10.0))
def test_without_a_rule_the_rates_are_the_same_bits(batch: int, lr: float) -> None:
    rates = LearningRates.of({"lr": lr, "encoder_lr": lr / 3}, LrScaling(), batch)

    assert (rates.lr, rates.encoder_lr, rates.factor, rates.message) == (lr, lr / 3, 1.0, "")


def test_encoder_keeps_its_ratio_and_the_line_says_all() -> None:
    rates = LearningRates.of(
        {"lr": 2e-3, "encoder_lr": 5e-4}, LrScaling(rule="linear", batch_size=8), 12
    )

    assert rates.lr == pytest.approx(3e-3)
    assert rates.encoder_lr == pytest.approx(7.5e-4)
    assert rates.message == (
        "learning rate 0.002 x 1.5 = 0.003, encoder 0.0005 x 1.5 = 0.00075 "
        "(linear in the batch, 12 for 8)"
    )
    assert rates.metrics() == {
        "lr/effective": rates.lr,
        "lr/effective_encoder": rates.encoder_lr,
        "lr/factor": 1.5,
    }


def test_encoder_without_a_rate_of_its_own_gets_none() -> None:
    rates = LearningRates.of({"lr": 1e-3}, LrScaling(rule="sqrt", batch_size=4), 16)

    assert rates.encoder_lr is None
    assert rates.metrics() == {"lr/effective": 2e-3, "lr/factor": 2.0}


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        LrScaling(rule="lineer", batch_size=0)  # type: ignore[arg-type]
    assert caught.value.problems == [
        "LrScaling.rule: expected one of none, linear, sqrt, got 'lineer' (did you mean 'linear'?)",
        "LrScaling.batch_size: expected a whole number (1 or more), got 0",
    ]


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_schedule_is_multiplied_as_a_whole(name: str) -> None:
    """A schedule over scaled rates is the schedule over the rates as they were, times the factor."""
    found = []
    for batch_size in (8, 32):
        rates = LearningRates.of({"lr": 1e-2}, LrScaling(rule="sqrt", batch_size=8), batch_size)
        optimizer = build_optimizer(nn.Conv2d(3, 2, 1), "sgd", rates.lr)
        schedule = build_scheduler(optimizer, name, total_steps=12, steps_per_epoch=4)
        trace = []
        for _ in range(12):
            trace.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            step_after_batch(schedule)
        found.append(torch.tensor(trace, dtype=torch.float64))

    torch.testing.assert_close(found[1], 2 * found[0])
    # One cycle peaks between two steps.
    assert 1.95e-2 < float(found[1].max()) < 2e-2 + 1e-12
