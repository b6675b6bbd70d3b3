"""Builds the Lightning Trainer from an execution plan."""

from __future__ import annotations

import logging
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import DDPStrategy

from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.device.slots import gpu_share
from seglab.engine.loop.checkpoint import AtomicCheckpointIO
from seglab.engine.options import TrainerOptions

# How long a rank waits for the others, for example for one that died.
_RANK_TIMEOUT = timedelta(minutes=10)
# Warnings of Lightning about things that are meant, each with its reason.
_OUR_OWN_CHOICES = (
    r".*does not have many workers.*",  # the plan chose the workers and says so
    r".*dataloader is not resumable.*",  # our batch sampler takes a run up mid-epoch
    r".*You have overridden `on_after_batch_transfer`.*",  # the datamodule only moves batches
    r".*LeafSpec.* is deprecated.*",  # inside Lightning, with newer torch
    r".*sync_dist=True.*",  # scores come from the counts of all ranks, so all ranks have the same
    r".*Checkpoint directory .* exists and is not empty.*",  # a resumed run
)


class UnevenEvalDDP(DDPStrategy):
    """DDP whose evaluation steps call the bare module.

    Every sample is evaluated once, so ranks may have different numbers of batches; DDP's forward
    synchronises buffers and would wait for a rank that has finished. The module itself takes rank
    0's buffers once, before evaluation.
    """

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module's step without DDP's forward."""
        with self.precision_plugin.val_step_context():
            module = self.lightning_module
            return module.validation_step(*args, **kwargs) if module is not None else None


def build_trainer(
    plan: ExecutionPlan,
    loop: TrainerOptions,
    callbacks: list[Callback],
    run_dir: Path,
    devices: int | list[int] | None = None,
) -> pl.Trainer:
    """Return a Trainer that follows the plan and does nothing of its own accord.

    Args:
        plan: Choices for the device.
        loop: Epochs and limits.
        callbacks: In the order they are called.
        run_dir: Lightning's root; nothing is written there by itself.
        devices: Device indices chosen by the user; None for as many as the plan says.
    """
    _quiet_lightning()
    several = plan.num_devices > 1
    # Nothing here reads memory that it has not written; filling all of it costs a kernel a tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return pl.Trainer(
        accelerator=plan.accelerator,
        devices=devices if devices is not None else plan.num_devices,
        strategy=UnevenEvalDDP(find_unused_parameters=False, timeout=_RANK_TIMEOUT)
        if several
        else "auto",
        precision=plan.lightning_precision,  # type: ignore[arg-type]
        max_epochs=loop.max_epochs,
        check_val_every_n_epoch=loop.val_every,
        limit_train_batches=loop.limit_train_batches,
        limit_val_batches=loop.limit_val_batches,
        # On a GPU some backward kernels have no deterministic form; warn, do not refuse.
        deterministic="warn" if loop.deterministic and plan.accelerator == "cuda" else None,
        benchmark=False if loop.deterministic else None,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=run_dir,
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        # Our samplers share batches among ranks themselves, without padding evaluation.
        use_distributed_sampler=False,
    )


def apply_threads(plan: ExecutionPlan) -> None:
    """Set the number of threads torch computes with, and keep to this process's share of a GPU."""
    torch.set_num_threads(plan.num_threads)
    if plan.accelerator == "cuda" and gpu_share() < 1:
        torch.cuda.set_per_process_memory_fraction(gpu_share())


def _quiet_lightning() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _OUR_OWN_CHOICES:
        warnings.filterwarnings("ignore", message=message)
