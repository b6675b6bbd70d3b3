"""The training loss of an epoch, as if all its images were one batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from seglab.metrics.metric import mean_of_terms


class EpochLoss:
    """Sums each term's loss and what it divides by, without waiting for the device.

    Batches differ in valid pixels and in the class weights of their pixels, so each term is
    weighted by its own denominator, and only then are the terms added. For a term that is no mean
    over images this is the mean over batches, weighted by valid pixels.

    Not a buffer of the module: DDP would overwrite it with rank 0's, and a moving average of the
    weights would average it. All ranks count the same losses of whole batches.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    def reset(self) -> None:
        """Start a new epoch."""
        self._sums = None

    def add(self, losses: Tensor, weights: Tensor) -> None:
        """Count one batch.

        Args:
            losses: Losses of the terms over the batch `(K,)`, of all ranks.
            weights: What each of them divides by `(K,)`, likewise.
        """
        row = torch.stack([losses.detach() * weights, weights])
        # Apple GPUs have no float64.
        row = row.to(torch.float32 if row.device.type == "mps" else torch.float64)
        self._sums = row if self._sums is None else self._sums.to(row) + row

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, for a checkpoint."""
        return {"sums": None if self._sums is None else self._sums.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the sums of a checkpoint."""
        sums = state["sums"]
        self._sums = None if sums is None else torch.tensor(sums, dtype=torch.float64)

    def mean(self) -> float:
        """Return the loss of the epoch, NaN when no pixel counted."""
        return math.nan if self._sums is None else float(mean_of_terms(*self._sums.cpu()))
