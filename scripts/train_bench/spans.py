"""Where the time of the whole loop goes, from `torch.profiler`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import Profiler
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from seglab.engine.step.module import SegmentationModule
from train_bench.gauges import StepTimes

PARTS = ("loader", "augment", "step", "metrics")


class Callbacks(Profiler):
    """Marks Lightning's calls of callbacks, which log, draw and save, as `metrics`."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, record_function] = {}

    def start(self, action_name: str) -> None:
        """Begin a span."""
        if action_name.startswith("[Callback]") and "on_train_batch" in action_name:
            self._open[action_name] = span = record_function("part:metrics")
            span.__enter__()

    def stop(self, action_name: str) -> None:
        """End it."""
        span = self._open.pop(action_name, None)
        if span is not None:
            span.__exit__(None, None, None)


def mark_parts(trainer: pl.Trainer, module: SegmentationModule) -> None:
    """Mark what belongs to which part; callbacks and the loss of the epoch count as metrics."""
    trainer.profiler = Callbacks()  # type: ignore[attr-defined]
    module.on_after_batch_transfer = _spanned(module.on_after_batch_transfer, "augment")  # type: ignore[method-assign]
    module.training_step = _spanned(module.training_step, "step")  # type: ignore[method-assign]
    module.epoch_loss.add = _spanned(module.epoch_loss.add, "metrics")  # type: ignore[method-assign]


def _spanned(call: Callable[..., Any], part: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def spanned(*args: Any, **kwargs: Any) -> Any:
        with record_function(f"part:{part}"):
            return call(*args, **kwargs)

    return spanned


def time_by_part(
    run: Callable[[StepTimes, Callable[[pl.Trainer, SegmentationModule], None]], None],
    device: str,
    steps: int,
    trace: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Return milliseconds a step of each part, on the host and on the GPU.

    The host's loader time is what it waits for a batch. The host runs ahead of a GPU, so its times
    are what it takes to ask for the work, and the GPU's what the work takes.

    Args:
        run: Trains, given what is told of steps and what sees the parts before.
        device: `cpu` or `cuda`.
        steps: Steps to look at.
        trace: File for all that was seen, `.json.gz`; None: none.
    """
    activities = [ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    times = StepTimes(device, steps)
    with profile(activities=activities, acc_events=True) as seen:
        run(times, mark_parts)
    if trace is not None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        seen.export_chrome_trace(str(trace))
    found = {part: {"host_ms": 0.0, "gpu_ms": 0.0} for part in PARTS}
    everything = 0.0
    for event in seen.key_averages():
        if event.device_type != DeviceType.CPU:
            everything += 0.0 if event.is_user_annotation else event.self_device_time_total
            continue
        part = "loader" if "DataLoader" in event.key else event.key.removeprefix("part:")
        if part in found:
            found[part]["host_ms"] += event.cpu_time_total / 1e3 / steps
            found[part]["gpu_ms"] += event.device_time_total / 1e3 / steps
    # The backward pass asks for its kernels from a thread of its own, outside of any span.
    others = sum(found[part]["gpu_ms"] for part in PARTS if part != "step")
    found["step"]["gpu_ms"] = max(0.0, everything / 1e3 / steps - others)
    return found
