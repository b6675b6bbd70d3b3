"""Checkpoints a run can be taken up from, bit by bit, wherever it was stopped.

Lightning's ModelCheckpoint is not used: saving every N steps and at epoch ends are exclusive there,
and best and last are serialised separately. Here each save happens once, and `last.ckpt` never
claims a best that is not on disk.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from seglab.core.disk.files import atomic_path
from seglab.core.errors import CheckpointError, RunNotFoundError
from seglab.models.weights.weight_files import read_torch_file

log = logging.getLogger(__name__)

BEST, LAST = "best.ckpt", "last.ckpt"
# What the LightningModule calls its model.
_MODEL = "model."
_MAX_KEYS = 8


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there; reads no pickled code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write the checkpoint; a kill at any moment leaves the former file whole."""
        # Into a stream of Python's: torch's own says nothing of a full disk.
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU, plain tensors and containers only."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the content of a checkpoint file.

    Args:
        path: The file.
        needed: Keys it must have.

    Raises:
        RunNotFoundError: There is no such file.
        CheckpointError: The file is not a readable checkpoint, or lacks a key; it says why.
    """
    if not path.exists():
        raise RunNotFoundError(
            f"no checkpoint at {path}; the run was stopped before its first save"
        )
    content = read_torch_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a checkpoint: it holds a {type(content).__name__}")
    missing = [key for key in needed if key not in content]
    if missing:
        held = ", ".join(str(key) for key in list(content)[:_MAX_KEYS]) or "nothing"
        raise CheckpointError(
            f"{path} is not a checkpoint of a training: it has no {' and no '.join(missing)}; it "
            f"holds {held}{', ...' if len(content) > _MAX_KEYS else ''}"
        )
    return content


def read_model_state(path: Path) -> dict[str, Tensor]:
    """Return the weights of the model in a checkpoint of a training, under the model's own names.

    Raises:
        RunNotFoundError: There is no such file.
        CheckpointError: The file is not a readable checkpoint, or holds no model of seglab.
    """
    state = read_checkpoint(path, ["state_dict"])["state_dict"]
    own = {
        name.removeprefix(_MODEL): value for name, value in state.items() if name.startswith(_MODEL)
    }
    if not own:
        raise CheckpointError(f"{path} holds no model of seglab")
    return own


class CheckpointWriter(Checkpoint):
    """Keeps `last.ckpt` (every N steps and every epoch) and `best.ckpt` (best monitored score).

    An epoch whose score is undefined or infinite is never the best; that there is one is said once.

    Args:
        folder: Where the two files live.
        monitor: Key of the score, such as `val/miou_present`.
        mode: `max` or `min`.
        every_n_steps: Optimizer steps between saves within an epoch; 0 saves at epoch ends only.
        before_save: Called first; raises where the weights must not be saved, such as after NaN.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        mode: str,
        every_n_steps: int,
        before_save: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.mode = mode
        self.every_n_steps = every_n_steps
        self.before_save = before_save
        self.best_score = math.nan
        self.best_epoch = -1
        self._told = False

    @property
    def best_path(self) -> Path:
        """Path of the best checkpoint; the file is there once `best_epoch >= 0`."""
        return self.folder / BEST

    @property
    def last_path(self) -> Path:
        """Path of the checkpoint to resume from."""
        return self.folder / LAST

    def state_dict(self) -> dict[str, Any]:
        """Return the best score so far, for `last.ckpt`."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score of the run that is resumed."""
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save within an epoch; its last batch is saved together with the epoch's scores."""
        due = self.every_n_steps and trainer.global_step % self.every_n_steps == 0
        if due and not trainer.is_last_batch:
            self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint to resume from."""
        if self.before_save is not None:
            self.before_save()
        trainer.save_checkpoint(self.last_path)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the finished epoch, first as best where it is, so that `last` never runs ahead."""
        if not self._improves(trainer):
            self.save_last(trainer)
            return
        self.best_score = float(trainer.callback_metrics[self.monitor])
        self.best_epoch = trainer.current_epoch
        trainer.save_checkpoint(self.best_path)
        if trainer.is_global_zero:
            _share_content(self.best_path, self.last_path)

    def _improves(self, trainer: pl.Trainer) -> bool:
        if not is_validated(trainer) or self.monitor not in trainer.callback_metrics:
            return False
        score = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(score):
            self._tell(score, trainer)
            return False
        if math.isnan(self.best_score):
            return True
        return score > self.best_score if self.mode == "max" else score < self.best_score

    def _tell(self, score: float, trainer: pl.Trainer) -> None:
        if self._told or not trainer.is_global_zero:
            return
        self._told = True
        log.warning(
            "%s is %s after epoch %d: such an epoch is never the best, and where it is nan neither early "
            "stopping nor a plateau schedule counts it (said once)",
            self.monitor,
            score,
            trainer.current_epoch,
        )


def is_validated(trainer: pl.Trainer) -> bool:
    """Tell whether the present epoch is one of those with a validation."""
    return (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0


def _share_content(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            # File systems without hard links.
            shutil.copyfile(source, temporary)
