"""Learning-rate schedules by name, each with the parameters it uses and no others.

Every schedule is a function of the optimizer step (the plateau: of the monitored score), bounded by
`total_steps`, so a run that is taken up again has the same learning rates as one never stopped.
Each parameter group keeps its own peak, and with it the ratio of encoder to decoder.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from seglab.core.errors import ConfigError, nearest


@dataclass(frozen=True)
class ScheduledLR:
    """A scheduler and how to step it.

    Args:
        scheduler: The scheduler.
        interval: `step`: after each optimizer step; `epoch`: after each validation.
        needs_monitor: Whether `scheduler.step` takes the monitored score.
    """

    scheduler: LRScheduler
    interval: Literal["step", "epoch"]
    needs_monitor: bool = False

    def step_epoch(self, score: float) -> None:
        """Step a schedule of epochs; `score` is the monitored one, which only some look at.

        A plateau passes over a validation whose score is NaN: it is no improvement, and counts no
        patience either.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if not math.isnan(score):
                self.scheduler.step(score)
        else:
            self.scheduler.step()


class Schedule(Protocol):
    """Parameters of one schedule; `build` makes the scheduler."""

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        ...

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler for a run of `total_steps` optimizer steps."""
        ...


@dataclass(frozen=True)
class OneCycle:
    """One cycle (Smith and Topin, 2018), torch's `OneCycleLR`, each group peaking at its own rate.

    Args:
        pct_start: Share of the run spent rising, in (0, 1).
        div_factor: Peak over first learning rate.
        final_div_factor: First over last learning rate.
        anneal: `cos` or `linear`.
        cycle_momentum: Lower momentum (or the first beta) to 0.85 while the rate rises.
    """

    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = False

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        found = []
        if not 0 < self.pct_start < 1:
            found.append(f"pct_start: expected a share in (0, 1), got {self.pct_start}")
        found += _least_problems(self, 1, "div_factor", "final_div_factor")
        if self.anneal not in ("cos", "linear"):
            found.append(f"anneal: expected cos or linear, got {self.anneal}")
        return found

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler for a run of `total_steps` optimizer steps."""
        if self.cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ConfigError("scheduler.cycle_momentum: this optimizer has no momentum to cycle")
        # Torch divides by (pct_start * total_steps - 1), which a run this short makes zero or less.
        shortest_rise = (1 + 1e-6) / total_steps
        scheduler = _BoundedOneCycle(
            optimizer,
            max_lr=[float(group["lr"]) for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=min(max(self.pct_start, shortest_rise), 1 - 1e-6),
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
            anneal_strategy=self.anneal,
            cycle_momentum=self.cycle_momentum,
        )
        return ScheduledLR(scheduler, "step")


class _FunctionOfStep(LRScheduler):
    """A schedule whose only state is the step: the rates are computed, not restored.

    So a run that is given more epochs follows the longer schedule from its first step on; torch's
    own state of OneCycleLR holds the former length.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the step, and set the rates that belong to it."""
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = state_dict["_step_count"]
        with warnings.catch_warnings():
            # Torch expects the rates to be asked for within a step only.
            warnings.simplefilter("ignore", UserWarning)
            rates = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates


class _LambdaOfStep(_FunctionOfStep, LambdaLR):
    """LambdaLR without a state of its own."""


class _BoundedOneCycle(_FunctionOfStep, OneCycleLR):
    """OneCycleLR that keeps its last rate where torch's would bend up again, or raise."""

    def get_lr(self) -> list[float]:  # type: ignore[override]
        if self.last_epoch >= self.total_steps:
            return [float(group["lr"]) for group in self.optimizer.param_groups]
        return [float(rate) for rate in super().get_lr()]


@dataclass(frozen=True)
class Poly:
    """`(1 - step / total_steps) ** power` (Chen et al., DeepLab, 2017).

    Args:
        power: Exponent, above 0; the paper's 0.9.
        min_lr_factor: The rate never falls below this share of its start, in [0, 1].
    """

    power: float = 0.9
    min_lr_factor: float = 0.0

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        found = [] if self.power > 0 else [f"power: expected a number above 0, got {self.power}"]
        return found + _share_problems(self, "min_lr_factor")

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler for a run of `total_steps` optimizer steps."""

        def factor(step: int) -> float:
            left = 1 - min(step, total_steps) / total_steps
            return float(max(left**self.power, self.min_lr_factor))

        return _by_step(optimizer, factor)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts).

    Args:
        warmup_epochs: Length of the warm-up in epochs, fractions allowed; 0 for none.
        warmup_start_factor: Share of the learning rate the warm-up starts from, in [0, 1].
        min_lr_factor: Share of the learning rate the run ends at, in [0, 1].
    """

    warmup_epochs: float = 1.0
    warmup_start_factor: float = 0.01
    min_lr_factor: float = 0.0

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        found = _least_problems(self, 0, "warmup_epochs")
        return found + _share_problems(self, "warmup_start_factor", "min_lr_factor")

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler for a run of `total_steps` optimizer steps.

        Raises:
            ConfigError: The warm-up takes the whole run.
        """
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if warmup >= total_steps:
            raise ConfigError(
                f"scheduler.warmup_epochs: {self.warmup_epochs:g} epochs are {warmup} steps, and "
                f"the run has only {total_steps}; shorten the warm-up"
            )

        def factor(step: int) -> float:
            if step < warmup:
                return self.warmup_start_factor + (1 - self.warmup_start_factor) * step / warmup
            done = (min(step, total_steps) - warmup) / (total_steps - warmup)
            fall = 0.5 * (1 + math.cos(math.pi * done))
            return self.min_lr_factor + (1 - self.min_lr_factor) * fall

        return _by_step(optimizer, factor)


@dataclass(frozen=True)
class Plateau:
    """Lower the rate when the monitored score stops improving (torch's `ReduceLROnPlateau`).

    Args:
        mode: `max` where more is better, `min` where less is.
        factor: What the rate is multiplied by, in (0, 1).
        patience: Validations without improvement that are let pass; an undefined score (NaN) counts
            as none.
        threshold: Least improvement that counts, in units of the score.
        min_lr: The rate never falls below this.
    """

    mode: Literal["min", "max"] = "max"
    factor: float = 0.5
    patience: int = 5
    threshold: float = 1e-4
    min_lr: float = 0.0

    def problems(self) -> list[str]:
        """Return what is wrong with the parameters."""
        found = []
        if self.mode not in ("min", "max"):
            found.append(f"mode: expected min or max, got {self.mode}")
        if not 0 < self.factor < 1:
            found.append(f"factor: expected a number in (0, 1), got {self.factor}")
        return found + _least_problems(self, 0, "patience", "threshold", "min_lr")

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler; it is stepped with the score, so the run's length is not used."""
        scheduler = ReduceLROnPlateau(
            optimizer,
            mode=self.mode,
            factor=self.factor,
            patience=self.patience,
            threshold=self.threshold,
            threshold_mode="abs",
            min_lr=self.min_lr,
        )
        return ScheduledLR(scheduler, "epoch", needs_monitor=True)


@dataclass(frozen=True)
class Constant:
    """The learning rate stays as it is."""

    def problems(self) -> list[str]:
        """Return nothing: there is no parameter to get wrong."""
        return []

    def build(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> ScheduledLR:
        """Return the scheduler."""
        return _by_step(optimizer, lambda _step: 1.0)


SCHEDULES: dict[str, type[OneCycle | Poly | Cosine | Plateau | Constant]] = {
    "onecycle": OneCycle,
    "poly": Poly,
    "cosine": Cosine,
    "plateau": Plateau,
    "constant": Constant,
}


def build_scheduler(
    optimizer: Optimizer, name: str, total_steps: int, steps_per_epoch: int, **options: float | str
) -> ScheduledLR:
    """Build a schedule over all parameter groups of an optimizer.

    Args:
        optimizer: The optimizer; the learning rates of its groups are the peaks.
        name: A key of `SCHEDULES`.
        total_steps: Optimizer steps of the whole run, at least 1. Steps beyond keep the last rate.
        steps_per_epoch: Optimizer steps of one epoch, at least 1.
        **options: Fields of the schedule's dataclass.

    Raises:
        ConfigError: The name is unknown, an option is unknown or out of range, or the schedule
            does not fit the run. All mistakes come at once.
    """
    if name not in SCHEDULES:
        raise ConfigError(
            f"scheduler.name: unknown schedule '{name}'{nearest(name, SCHEDULES)}; "
            f"known are {', '.join(SCHEDULES)}"
        )
    schedule_class = SCHEDULES[name]
    allowed = [item.name for item in fields(schedule_class)]
    problems = [
        f"scheduler.{key}: {name} does not use it{nearest(key, allowed)}; "
        f"it uses {', '.join(allowed) or 'no parameters'}"
        for key in options
        if key not in allowed
    ]
    known = {key: value for key, value in options.items() if key in allowed}
    schedule: Schedule = schedule_class(**known)  # type: ignore[arg-type]
    problems += [f"scheduler.{problem}" for problem in schedule.problems()]
    for key, value in (("total_steps", total_steps), ("steps_per_epoch", steps_per_epoch)):
        if value < 1:
            problems.append(f"scheduler: expected {key} of at least 1, got {value}")
    if problems:
        raise ConfigError(problems)
    return schedule.build(optimizer, total_steps, steps_per_epoch)


def _by_step(optimizer: Optimizer, factor: Callable[[int], float]) -> ScheduledLR:
    return ScheduledLR(_LambdaOfStep(optimizer, factor), "step")


def _least_problems(schedule: object, least: float, *names: str) -> list[str]:
    return [
        f"{name}: expected {least:g} or more, got {getattr(schedule, name)}"
        for name in names
        if not getattr(schedule, name) >= least
    ]


def _share_problems(schedule: object, *names: str) -> list[str]:
    return [
        f"{name}: expected a share in [0, 1], got {getattr(schedule, name)}"
        for name in names
        if not 0 <= getattr(schedule, name) <= 1
    ]
