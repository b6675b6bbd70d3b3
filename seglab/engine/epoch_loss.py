"""The training loss of an epoch: the mean over all valid pixels it has seen, on all ranks."""

from __future__ import annotations

import math

import torch
from pytorch_lightning.strategies import Strategy
from torch import Tensor


class EpochLoss:
    """Sums loss times valid pixels, and valid pixels, without waiting for the device.

    Not a buffer of the module: DDP would overwrite it with rank 0's, and a moving average of the
    weights would average it.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._former = [0.0, 0.0]

    def reset(self) -> None:
        """Start a new epoch."""
        self._sums, self._former = None, [0.0, 0.0]

    def add(self, weighted_loss: Tensor, num_valid: Tensor) -> None:
        """Count one batch.

        Args:
            weighted_loss: Mean loss times valid pixels, a scalar.
            num_valid: Valid pixels, a scalar.
        """
        row = torch.stack([weighted_loss.detach(), num_valid]).to(self._kind(num_valid.device))
        self._sums = row if self._sums is None else self._sums + row

    @staticmethod
    def _kind(device: torch.device) -> torch.dtype:
        # Apple GPUs have no float64.
        return torch.float32 if device.type == "mps" else torch.float64

    def total(self, strategy: Strategy) -> list[float]:
        """Return both sums over all ranks; every rank must call it."""
        local = torch.tensor(self._former, dtype=torch.float64)
        if self._sums is not None:
            local = local + self._sums.cpu().double()
        on_device = local.to(strategy.root_device, self._kind(strategy.root_device))
        reduced = strategy.reduce(on_device, reduce_op="sum")
        return [float(value) for value in reduced]

    def restore(self, sums: list[float], rank: int) -> None:
        """Take up the sums of a checkpoint; they are those of all ranks, so one rank keeps them."""
        self.reset()
        if rank == 0:
            self._former = list(sums)

    def mean(self, strategy: Strategy) -> float:
        """Return the mean over valid pixels of all ranks, NaN when there were none."""
        loss, num_valid = self.total(strategy)
        return loss / num_valid if num_valid else math.nan
