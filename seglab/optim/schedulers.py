"""Learning-rate schedules by name, each with the parameters it uses and no others.

Every schedule is a function of the optimizer step (the plateau: of the monitored score), bounded by
`total_steps`, so a run that is taken up again has the same learning rates as one never stopped.
Each parameter group keeps its own peak, and with it the ratio of encoder to decoder.

One cycle and plateau are torch's. Its `PolynomialLR` and `CosineAnnealingLR` are not used: they derive
each rate from the one before, so rounding adds up, a run that is given more epochs could not follow the
longer schedule, and `PolynomialLR` knows no least rate; here both are functions for its `LambdaLR`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from seglab.core.errors import ConfigError, nearest
from seglab.core.options import Options
from seglab.core.parts.components import components
from seglab.core.parts.own_parts import OwnPart
from seglab.optim.options import (
    ConstantOptions,
    CosineOptions,
    OneCycleOptions,
    PlateauOptions,
    PolyOptions,
)


@dataclass(frozen=True)
class Run:
    """How long a run is, in optimizer steps."""

    total_steps: int
    steps_per_epoch: int


def step_after_batch(scheduler: LRScheduler) -> None:
    """Step a schedule after an optimizer step; a plateau waits for the next validation."""
    if not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()


def step_after_validation(scheduler: LRScheduler, score: float) -> None:
    """Step a plateau with the monitored score; other schedules follow the optimizer steps.

    It passes over a validation whose score is NaN: that is no improvement, and counts no patience
    either.
    """
    if isinstance(scheduler, ReduceLROnPlateau) and not math.isnan(score):
        scheduler.step(score)


def _onecycle(options: OneCycleOptions, optimizer: Optimizer, run: Run) -> LRScheduler:
    if options.cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
        raise ConfigError("scheduler.cycle_momentum: this optimizer has no momentum to cycle")
    # Torch divides by (pct_start * total_steps - 1), which a run this short makes zero or less.
    shortest_rise = (1 + 1e-6) / run.total_steps
    return _BoundedOneCycle(
        optimizer,
        max_lr=[float(group["lr"]) for group in optimizer.param_groups],
        total_steps=run.total_steps,
        pct_start=min(max(options.pct_start, shortest_rise), 1 - 1e-6),
        div_factor=options.div_factor,
        final_div_factor=options.final_div_factor,
        anneal_strategy=options.anneal,
        cycle_momentum=options.cycle_momentum,
    )


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


def _poly(options: PolyOptions, optimizer: Optimizer, run: Run) -> LRScheduler:
    def factor(step: int) -> float:
        left = 1 - min(step, run.total_steps) / run.total_steps
        return float(max(left**options.power, options.min_lr_factor))

    return _LambdaOfStep(optimizer, factor)


def _cosine(options: CosineOptions, optimizer: Optimizer, run: Run) -> LRScheduler:
    warmup = round(options.warmup_epochs * run.steps_per_epoch)
    if warmup >= run.total_steps:
        raise ConfigError(
            f"scheduler.warmup_epochs: {options.warmup_epochs:g} epochs are {warmup} steps, and "
            f"the run has only {run.total_steps}; shorten the warm-up"
        )
    start, end = options.warmup_start_factor, options.min_lr_factor

    def factor(step: int) -> float:
        if step < warmup:
            return start + (1 - start) * step / warmup
        done = (min(step, run.total_steps) - warmup) / (run.total_steps - warmup)
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))

    return _LambdaOfStep(optimizer, factor)


def _plateau(options: PlateauOptions, optimizer: Optimizer, run: Run) -> LRScheduler:
    return ReduceLROnPlateau(
        optimizer,
        mode=options.mode,
        factor=options.factor,
        patience=options.patience,
        threshold=options.threshold,
        threshold_mode="abs",
        min_lr=options.min_lr,
    )


def _constant(options: ConstantOptions, optimizer: Optimizer, run: Run) -> LRScheduler:
    return _LambdaOfStep(optimizer, lambda _step: 1.0)


_BUILDERS: dict[type[Options], Callable[[Any, Optimizer, Run], LRScheduler]] = {
    OneCycleOptions: _onecycle,
    PolyOptions: _poly,
    CosineOptions: _cosine,
    PlateauOptions: _plateau,
    ConstantOptions: _constant,
}
SCHEDULES = components("schedule")


def build_scheduler(
    optimizer: Optimizer, name: str, total_steps: int, steps_per_epoch: int, **options: float | str
) -> LRScheduler:
    """Build a schedule over all parameter groups of an optimizer.

    Args:
        optimizer: The optimizer; the learning rates of its groups are the peaks.
        name: A key of `SCHEDULES`.
        total_steps: Optimizer steps of the whole run, at least 1. Steps beyond keep the last rate.
        steps_per_epoch: Optimizer steps of one epoch, at least 1.
        **options: Those of the schedule, see `seglab.optim.options`.

    Raises:
        ConfigError: The name is unknown, an option is unknown or out of range, or the schedule
            does not fit the run. All mistakes come at once.
    """
    if name not in SCHEDULES:
        raise ConfigError(
            f"scheduler.name: unknown schedule '{name}'{nearest(name, SCHEDULES)}; "
            f"known are {', '.join(SCHEDULES)}"
        )
    declared = SCHEDULES[name]
    problems = declared.problems(options, "scheduler")
    problems += [
        f"scheduler: expected {key} of at least 1, got {value}"
        for key, value in (("total_steps", total_steps), ("steps_per_epoch", steps_per_epoch))
        if value < 1
    ]
    if problems:
        raise ConfigError(problems)
    return _BUILDERS[declared](declared(**options), optimizer, Run(total_steps, steps_per_epoch))


def wrap_scheduler(part: OwnPart, optimizer: Optimizer, run: Mapping[str, int]) -> LRScheduler:
    """Build a schedule of torch's or of one's own: stepped after each optimizer step.

    `ReduceLROnPlateau` steps after each validation instead, with the monitored score.

    Args:
        part: Called with the optimizer.
        optimizer: The optimizer.
        run: `total_steps` and `steps_per_epoch`, given where the signature takes them.

    Raises:
        ConfigError: It refuses its arguments, or is no schedule.
    """
    scheduler = part.make(optimizer, **run)
    if not isinstance(scheduler, LRScheduler):
        raise part.wrong("give an LRScheduler of torch", type(scheduler).__name__)
    return scheduler
