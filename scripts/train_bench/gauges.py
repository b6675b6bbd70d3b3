"""What is read off while a recipe trains: times of steps, and what the GPU was doing."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from types import TracebackType
from typing import Any, Self

import pytorch_lightning as pl
import torch

WARM_UP_STEPS = 4


def wait_for(device: str) -> None:
    """Wait until a device has done all that was asked of it; a CPU already has."""
    if device == "cuda":
        torch.cuda.synchronize()


class StepTimes:
    """Times of steps, of which the first few are warm-up.

    Waits for the device after the first step, the warm-up and the last step alone, so that measuring
    does not keep the program from running ahead of it.
    """

    def __init__(self, device: str, steps: int) -> None:
        self.device, self.steps = device, steps
        self.started = time.perf_counter()
        self.first = self.warm = self.last = 0.0
        self.seen = 0

    def tick(self) -> None:
        """Note that a step ended."""
        self.seen += 1
        if self.seen in (1, WARM_UP_STEPS, self.steps):
            wait_for(self.device)
            now = time.perf_counter()
            if self.seen == 1:
                self.first = now - self.started
            if self.seen == WARM_UP_STEPS:
                self.warm = now
            self.last = now

    def images_per_second(self, batch_size: int) -> float:
        """Return throughput from the end of the warm-up to the last step."""
        return batch_size * (self.steps - WARM_UP_STEPS) / (self.last - self.warm)


class Clock(pl.Callback):
    """Passes the ends of Lightning's steps on."""

    def __init__(self, times: StepTimes) -> None:
        self.times = times

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Note that a step ended."""
        self.times.tick()


class GpuGauge:
    """Samples how busy the first GPU is while the body runs, and notes the most memory in use.

    Attributes:
        utilisation: Mean share of time in which some kernel ran, in percent; None without a GPU.
        peak_mib: Most memory that tensors took, in MiB; None without a GPU.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.utilisation: float | None = None
        self.peak_mib: float | None = None
        self._sampler: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Begin to sample."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            if shutil.which("nvidia-smi"):
                query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
                self._sampler = subprocess.Popen(
                    ["nvidia-smi", "-i", "0", *query, "-lms", "100"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sampling."""
        if self.device == "cuda":
            self.peak_mib = torch.cuda.max_memory_allocated() / 2**20
        if self._sampler is not None:
            self._sampler.terminate()
            text, _ = self._sampler.communicate()
            shares = [int(line) for line in text.split() if line.isdigit()]
            # What comes before the first step is start-up.
            self.utilisation = statistics.mean(shares[len(shares) // 3 :]) if shares else None
