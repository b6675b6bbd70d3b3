"""The objects of one training, built from a configuration and ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from seglab.core.errors import ConfigError, TrainingError
from seglab.core.text.terminal import say
from seglab.core.trial import TrialChannel
from seglab.data.loading.datamodule import SegDataModule
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.device.ranks import is_rank_zero
from seglab.engine.loop.callbacks import (
    FiniteLossGuard,
    HistoryWriter,
    InterruptGuard,
    ResumableEarlyStopping,
)
from seglab.engine.loop.checkpoint import CheckpointWriter, read_checkpoint
from seglab.engine.loop.compiled import CompileOnce
from seglab.engine.loop.ema import WarmEma
from seglab.engine.loop.progress import RunProgress
from seglab.engine.loop.samples import OverlayLogger
from seglab.engine.loop.scorer import Scorer
from seglab.engine.loop.trainer import build_trainer
from seglab.engine.loop.trial_report import TrialReport
from seglab.engine.options import TrainerOptions
from seglab.engine.step.module import SegmentationModule
from seglab.engine.tracking.tracking import WandbView
from seglab.experiment.parts import Dataset, build_datamodule, build_module
from seglab.experiment.prepare.batch_size import build_keeper
from seglab.experiment.prepare.building import build_callbacks
from seglab.experiment.prepare.initial_weights import INIT_FROM, as_record, initialise
from seglab.experiment.prepare.monitor import require_defined, scored_ids
from seglab.experiment.prepare.resolved import resolved
from seglab.metrics.targets import parse_targets, require_classes
from seglab.models import Segmenter
from seglab.runs import RunRecord

# What a training is taken up from.
_RESUMED = ("state_dict", "optimizer_states", "loops", "global_step")


@dataclass
class Fit:
    """One training.

    Attributes:
        trainer: Runs the loop.
        module: Model, loss, optimizer and metrics.
        datamodule: Loaders.
        writer: Knows the best and the last checkpoint.
        plan: How the device is used.
        steps_per_epoch: Optimizer steps of a whole epoch.
    """

    trainer: pl.Trainer
    module: SegmentationModule
    datamodule: SegDataModule
    writer: CheckpointWriter
    plan: ExecutionPlan
    steps_per_epoch: int

    def train(self, checkpoint: Path | None) -> None:
        """Train until done; the loader starts where the checkpoint left off."""
        if checkpoint is not None:
            step = int(read_checkpoint(checkpoint, _RESUMED)["global_step"])
            self.datamodule.set_position(*divmod(step, self.steps_per_epoch))
        path = str(checkpoint) if checkpoint else None
        self.trainer.fit(self.module, datamodule=self.datamodule, ckpt_path=path)

    def scorer(self, cfg: DictConfig, run_dir: Path) -> Scorer:
        """Leave the training for its evaluation: by the best weights, in this process alone.

        The training's callbacks would interfere (a moving average swaps its weights in at every
        validation), and the ranks of a training on several devices have left.

        Raises:
            TrainingError: No epoch was validated, so there is no best checkpoint.
        """
        writer = self.writer
        if writer.best_epoch < 0:
            raise TrainingError(
                f"no epoch gave a defined {writer.monitor}, so there is no best checkpoint; "
                "train for at least trainer.val_every epochs on data whose val split has labels"
            )
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        alone = replace(self.plan, num_devices=1)
        loop = TrainerOptions(limit_val_batches=cfg.trainer.limit_val_batches)
        chosen = _chosen_devices(cfg)
        trainer = build_trainer(alone, loop, [], run_dir, chosen[:1] if chosen else None)
        # The loaders ask it for their rank.
        self.datamodule.trainer = trainer
        # A moving average where there is one.
        self.module.load_state_dict(read_checkpoint(writer.best_path, ["state_dict"])["state_dict"])
        return Scorer(trainer, self.module, self.datamodule)


def prepare_fit(
    cfg: DictConfig,
    dataset: Dataset,
    model: Segmenter,
    plan: ExecutionPlan,
    record: RunRecord,
    view: WandbView | None,
    console: Console,
    trial: TrialChannel | None = None,
) -> Fit:
    """Build everything a training needs; nothing runs yet.

    Args:
        cfg: Validated configuration.
        dataset: What to train on.
        model: What to train.
        plan: How to use the device.
        record: Where checkpoints go; rank 0 writes the history too.
        view: W&B, or None on ranks that show nothing.
        console: For progress.
        trial: The study that rank 0 of a trial reports to.

    Raises:
        ConfigError: A score that decides is of a class that the validation split lacks.
        DataError: There is no validation split with labels.
    """
    datamodule = _loaders(cfg, dataset, plan, console)
    limit = cfg.trainer.limit_train_batches
    steps_per_epoch = min(datamodule.steps_per_epoch, limit or datamodule.steps_per_epoch)
    module = build_module(cfg, dataset, model, plan, steps_per_epoch)
    if cfg.model.get(INIT_FROM):
        loaded = initialise(module.model, cfg.model[INIT_FROM], dataset.manifest)
        if is_rank_zero():
            record.update(initial_weights=as_record(loaded))
    _check_last_batch(datamodule, module.model.min_train_batch, plan.num_devices)
    guard = FiniteLossGuard(record if is_rank_zero() else None)
    writer = CheckpointWriter(
        record.checkpoints_dir,
        cfg.monitor.metric,
        cfg.monitor.mode,
        cfg.callbacks.checkpoint.every_n_steps,
        before_save=guard.check,
    )
    keeper = build_keeper(cfg, dataset.manifest, plan)
    callbacks = [keeper, guard, *_callbacks(cfg, record, view, writer, console, trial)]
    if plan.compile:
        callbacks.insert(0, CompileOnce())
    loop = TrainerOptions.read(cfg.trainer, "trainer")
    trainer = build_trainer(plan, loop, callbacks, record.run_dir, _chosen_devices(cfg))
    return Fit(trainer, module, datamodule, writer, plan, steps_per_epoch)


def _loaders(
    cfg: DictConfig, dataset: Dataset, plan: ExecutionPlan, console: Console
) -> SegDataModule:
    """Build the loaders; refuse data whose validation split cannot decide what the run asks of it."""
    datamodule = build_datamodule(cfg, dataset, plan)
    limit = cfg.trainer.limit_val_batches
    scored = scored_ids(datamodule, limit and limit * plan.num_devices)
    for note in require_defined(cfg, dataset.manifest, scored):
        say(console, note)
    if cfg.get("objective") is not None:
        targets = parse_targets(resolved(cfg.objective.targets))
        require_classes(targets, dataset.labels.class_names)
    return datamodule


def _check_last_batch(datamodule: SegDataModule, min_train_batch: int, num_devices: int) -> None:
    config = datamodule.config
    rest = len(datamodule.sample_ids("train")) % config.batch_size
    needed = min_train_batch * num_devices
    if not config.drop_last and 0 < rest < needed:
        raise ConfigError(
            f"data.drop_last=false leaves a last batch of {rest}, and the model's batch norm needs "
            f"{needed}; set data.drop_last=true or another data.batch_size"
        )


def _chosen_devices(cfg: DictConfig) -> list[int] | None:
    devices = resolved(cfg.trainer.devices)
    return devices if isinstance(devices, list) else None


def _callbacks(
    cfg: DictConfig,
    record: RunRecord,
    view: WandbView | None,
    writer: CheckpointWriter,
    console: Console,
    trial: TrialChannel | None,
) -> list[Callback]:
    """In the order they are called: the loss is looked at first, the checkpoint is written last."""
    writing = record if is_rank_zero() else None
    callbacks: list[Callback] = [
        HistoryWriter(writing, [view] if view else [], cfg.logger.wandb.log_every_n_steps),
        RunProgress(console, cfg.monitor.metric, cfg.callbacks.progress),
    ]
    is_trial = record.read()["kind"] == "trial"
    # On all ranks of a trial; of its folds, where epochs prune nothing, on the one that tells.
    if is_trial or trial is not None:
        callbacks.append(TrialReport(trial, cfg.monitor.metric, prunes=is_trial))
    if view is not None and cfg.callbacks.overlays.num_images:
        callbacks.append(OverlayLogger(view, cfg.callbacks.overlays.num_images))
    if cfg.trainer.ema_decay is not None:
        callbacks.append(WarmEma(cfg.trainer.ema_decay))
    stopping = _early_stopping(cfg, record)
    if stopping is not None:
        callbacks.append(stopping)
    own = build_callbacks(resolved(cfg.callbacks.get("extra")) or {})
    return [*callbacks, *own, InterruptGuard(writer), writer]


def _early_stopping(cfg: DictConfig, record: RunRecord) -> ResumableEarlyStopping | None:
    stopping, extended = cfg.callbacks.early_stopping, record.read()["extended"]
    if stopping.patience is None:
        return None
    return ResumableEarlyStopping(
        cfg.monitor.metric,
        min_delta=stopping.min_delta,
        patience=stopping.patience,
        mode=cfg.monitor.mode,
        check_on_train_epoch_end=False,
        check_finite=False,
        begins_anew_at=extended[-1]["step"] if extended else None,
    )
