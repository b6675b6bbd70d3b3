"""A model that goes through `torch.compile` is compiled for the batches of training, and never again."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch


class CompileOnce(pl.Callback):
    """Lets whatever would be compiled after the first step run as it is written.

    The last batch of an epoch may be shorter, validation shows images of any size, and a micro-batch
    may be halved: each new shape would stop the run for as long as the first did, for a few steps.
    """

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Stop compiling; what is compiled stays in use where it fits."""
        torch.compiler.set_stance("eager_on_recompile")

    def teardown(self, *_: Any, **__: Any) -> None:
        """Let the next training compile."""
        torch.compiler.set_stance("default")
