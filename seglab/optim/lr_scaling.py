"""Learning rates for another batch than the one they were found with.

In a sweep over batch sizes a fixed learning rate favours the batch it was tuned for. The rules here
carry it over; neither is a law, so none is the default, and what came out is recorded with the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seglab.optim.options import LrScaling


@dataclass(frozen=True)
class LearningRates:
    """The peak learning rates of a run, from which its schedule starts.

    Attributes:
        lr: Of the model, or of all but its encoder.
        encoder_lr: Of the encoder; None: the same.
        factor: What the configured rates were multiplied by.
        message: How they came about, in one line; empty where no rule was at work.
    """

    lr: float
    encoder_lr: float | None
    factor: float
    message: str

    @classmethod
    def of(cls, optimizer: Mapping[str, Any], scaling: LrScaling, batch_size: int) -> LearningRates:
        """Scale the rates of an optimizer's configuration.

        Args:
            optimizer: With `lr` and perhaps `encoder_lr`.
            scaling: The rule.
            batch_size: Images of an optimizer step, over all devices.
        """
        factor = scaling.factor(batch_size)
        lr, own = optimizer["lr"], optimizer.get("encoder_lr")
        encoder_lr = None if own is None else own * factor
        encoder = "" if own is None else f", encoder {own:g} x {factor:.4g} = {encoder_lr:.4g}"
        message = (
            f"learning rate {lr:g} x {factor:.4g} = {lr * factor:.4g}{encoder} "
            f"({scaling.rule} in the batch, {batch_size} for {scaling.batch_size})"
        )
        return cls(lr * factor, encoder_lr, factor, "" if scaling.rule == "none" else message)

    def metrics(self) -> dict[str, float]:
        """Return the rates for a run record: `lr/effective`, `lr/effective_encoder`, `lr/factor`."""
        encoder = {} if self.encoder_lr is None else {"lr/effective_encoder": self.encoder_lr}
        return {"lr/effective": self.lr, **encoder, "lr/factor": self.factor}
