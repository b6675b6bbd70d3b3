"""The contracts of optimizers and schedules: rates are what groups say, and a resumed run is the run."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from seglab.testing.contract import Contract


def small_model() -> nn.Module:
    """Return a small model of fixed weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


def parameter_groups(model: nn.Module, lr: float = 0.01) -> list[dict[str, Any]]:
    """Return two groups of its parameters, the first with a tenth of the learning rate."""
    first, rest = list(model[0].parameters()), list(model[2].parameters())  # type: ignore[index]
    return [{"params": first, "lr": lr / 10}, {"params": rest, "lr": lr}]


class OptimizerContract(Contract):
    """What training asks of an optimizer.

    `build` is supplied with `params` (groups, each with its `lr`) and `lr`, and returns a
    `torch.optim.Optimizer`.
    """

    lr = 0.01

    def make(self, model: nn.Module) -> Optimizer:
        """Return the optimizer over two groups of a model's parameters."""
        made = self.build_with(params=parameter_groups(model, self.lr), lr=self.lr)
        assert isinstance(made, Optimizer), f"expected a torch.optim.Optimizer, got {made!r}"
        return made

    def losses(self, model: nn.Module, optimizer: Optimizer, steps: int) -> list[float]:
        """Train some steps and return the loss before each."""
        image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        seen = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (model(image) - 1).square().mean()
            loss.backward()
            optimizer.step()
            seen.append(loss.item())
        return seen

    def test_lowers_a_loss(self) -> None:
        model = small_model()
        losses = self.losses(model, self.make(model), 30)
        assert losses[-1] < 0.95 * losses[0], (
            f"expected 30 steps to lower {losses[0]:g} by 5 %, got {losses[-1]:g}"
        )

    def test_groups_keep_their_rates(self) -> None:
        rates = [group["lr"] for group in self.make(small_model()).param_groups]
        assert sorted({*rates}) == [self.lr / 10, self.lr], (
            f"expected the rates of the groups, {self.lr / 10:g} and {self.lr:g}, got {rates}"
        )

    def test_rate_of_zero_moves_nothing(self) -> None:
        model = small_model()
        optimizer = self.make(model)
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        before = copy.deepcopy(model.state_dict())
        self.losses(model, optimizer, 1)
        same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert same, "expected a learning rate of 0 to leave the weights alone"

    def test_resumed_run_is_the_run(self) -> None:
        model = small_model()
        optimizer = self.make(model)
        self.losses(model, optimizer, 3)
        saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        straight = self.losses(model, optimizer, 4)
        other = small_model()
        again = self.make(other)
        other.load_state_dict(saved[0])
        again.load_state_dict(saved[1])
        resumed = self.losses(other, again, 4)
        assert resumed == straight, f"expected {straight} after loading its state, got {resumed}"


class ScheduleContract(Contract):
    """What training asks of a schedule that steps after each optimizer step.

    `build` is supplied with `optimizer`, `total_steps` and `steps_per_epoch`, and returns something
    with torch's `step`, `state_dict` and `load_state_dict`.
    """

    total_steps = 12
    steps_per_epoch = 4

    def start(self, *rates: float) -> tuple[Optimizer, Any]:
        """Return an optimizer with a group of each learning rate, and the schedule over it."""
        groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
        made = self.build_with(
            optimizer=optimizer, total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
        )
        return optimizer, made

    def rates(self, optimizer: Optimizer, schedule: Any, steps: int) -> Iterator[list[float]]:
        """Yield the rates of all groups at each of the next steps."""
        for _ in range(steps):
            yield [float(group["lr"]) for group in optimizer.param_groups]
            optimizer.step()
            schedule.step()

    def test_rates_are_finite_and_not_negative(self) -> None:
        for (rate,) in self.rates(*self.start(0.1), self.total_steps + 5):
            assert math.isfinite(rate), f"expected finite rates, got {rate}"
            assert rate >= 0, f"expected rates of 0 or more, got {rate}"

    def test_groups_keep_their_ratio(self) -> None:
        for encoder, rest in self.rates(*self.start(0.01, 0.1), self.total_steps):
            assert math.isclose(encoder, 0.1 * rest, rel_tol=1e-6, abs_tol=1e-12), (
                f"expected a group of a tenth of the rate to stay so, got {encoder:g} and {rest:g}"
            )

    def test_resumed_run_is_the_run(self) -> None:
        for stop in (0, 1, 7):
            optimizer, schedule = self.start(0.01, 0.1)
            list(self.rates(optimizer, schedule, stop))
            saved = copy.deepcopy((optimizer.state_dict(), schedule.state_dict()))
            straight = list(self.rates(optimizer, schedule, self.total_steps - stop))
            other, again = self.start(0.01, 0.1)
            other.load_state_dict(saved[0])
            again.load_state_dict(saved[1])
            resumed = list(self.rates(other, again, self.total_steps - stop))
            assert resumed == straight, f"expected {straight} after step {stop}, got {resumed}"
