"""Optimizers and learning-rate schedules by name; pure torch and timm."""

from __future__ import annotations

from seglab.optim.lr_scaling import LearningRates, LrScaling
from seglab.optim.optimizers import build_optimizer, parameter_groups
from seglab.optim.schedulers import SCHEDULES, ScheduledLR, build_scheduler

__all__ = [
    "SCHEDULES", "LearningRates", "LrScaling", "ScheduledLR", "build_optimizer", "build_scheduler",
    "parameter_groups",
]  # fmt: skip
