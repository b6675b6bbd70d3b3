"""Our optimizers and schedules keep the contracts that users' are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seglab.optim import SCHEDULES, build_optimizer, build_scheduler
from seglab.testing import OptimizerContract, ScheduleContract

FILES = sorted((Path(__file__).resolve().parents[2] / "conf" / "optimizer").glob("*.yaml"))


class TestOptimizerFiles(OptimizerContract):
    @pytest.fixture(autouse=True, params=FILES, ids=lambda path: path.stem)
    def _options(self, request: pytest.FixtureRequest) -> None:
        self.options = yaml.safe_load(request.param.read_text(encoding="utf-8"))
        del self.options["_target_"]

    def make(self, model: torch.nn.Module) -> torch.optim.Optimizer:
        rates = {"lr": self.lr, "encoder_lr": self.lr / 10}
        return build_optimizer(_Halves(model), **self.options | rates)


class _Halves(torch.nn.Module):
    """Calls the first layer its encoder."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.rest = model[0], model[2]


class TestTorchs(OptimizerContract):
    def build(self, params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.RAdam(params, lr)


class TestSchedules(ScheduleContract):
    @pytest.fixture(autouse=True, params=[name for name in SCHEDULES if name != "plateau"])
    def _name(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def build(self, optimizer: Any, total_steps: int, steps_per_epoch: int) -> Any:
        return build_scheduler(optimizer, self.name, total_steps, steps_per_epoch)


def forgetful(params: Any, lr: float) -> torch.optim.Optimizer:
    """Gives every group the same rate."""
    return torch.optim.SGD([one for group in params for one in group["params"]], lr)


def test_faults_are_named() -> None:
    with pytest.raises(AssertionError) as caught:
        OptimizerContract.check(forgetful)
    assert "expected the rates of the groups, 0.001 and 0.01, got [0.01]" in str(caught.value)


class Drops:
    """Sets all groups to one rate, and saves nothing."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.steps = optimizer, 0

    def step(self) -> None:
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 / self.steps

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_faults_of_a_schedule_are_named() -> None:
    with pytest.raises(AssertionError) as caught:
        ScheduleContract.check(Drops)
    assert "a tenth of the rate to stay so, got 0.1 and 0.1" in str(caught.value)
    assert "after step 1" in str(caught.value)
