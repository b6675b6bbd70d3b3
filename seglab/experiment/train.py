"""One training from configuration to record: start, resume, finish, and what happens in between."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, EarlyStopping
from rich.console import Console

from seglab.config.validate import validate
from seglab.core.errors import ConfigError, DataError
from seglab.core.provenance import git_state
from seglab.engine.callbacks import (
    FiniteLossGuard,
    HistoryWriter,
    InterruptGuard,
    TrainingInterruptedError,
)
from seglab.engine.checkpoint import LAST, CheckpointWriter, read_checkpoint
from seglab.engine.ema import WarmEma
from seglab.engine.module import SegmentationModule
from seglab.engine.plan import Device, ExecutionPlan
from seglab.engine.progress import RunProgress
from seglab.engine.samples import OverlayLogger
from seglab.engine.ranks import is_rank_zero, other_ranks
from seglab.engine.tracking import WandbView
from seglab.engine.trainer import LoopSettings, apply_threads, build_trainer
from seglab.experiment.parts import (
    Dataset,
    build_datamodule,
    build_module,
    make_plan,
    open_dataset_of,
    plain,
)
from seglab.experiment.summary import conclude
from seglab.experiment.views import open_view
from seglab.runs import RunRecord, new_run_dir

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        run_dir: Folder of the record.
        status: `finished`; other endings raise.
        metrics: Flat dict of final scores of the best checkpoint.
    """

    run_dir: Path
    status: str
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    cfg: DictConfig, run_dir: Path | None = None, console: Console | None = None
) -> TrainResult:
    """Train, validate and test one model, and leave its record.

    Args:
        cfg: Composed configuration; validated here.
        run_dir: Folder for the record; a new one under `paths.runs_dir` when None.
        console: Where progress and tables go.

    Raises:
        ConfigError: The configuration has mistakes; all are listed.
        SeglabError: The training failed or was interrupted; the record says so too.
    """
    problems = validate(cfg)
    if problems:
        raise ConfigError(problems)
    folder = run_dir or new_run_dir(Path(cfg.paths.runs_dir), cfg.experiment_name, cfg.run_name)
    config = plain(cfg)
    record = RunRecord.create(
        folder, experiment=cfg.experiment_name, kind="train", config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)), name=cfg.run_name, seed=cfg.seed,
        tags=list(cfg.tags), notes=cfg.notes, git=git_state(),
    )  # fmt: skip
    return _run(cfg, record, console or Console())


def resume(run_dir: Path, console: Console | None = None) -> TrainResult:
    """Go on with a stopped run from its last checkpoint, as if it had never stopped.

    On a CPU the final weights are the same bits as those of an uninterrupted run.

    Raises:
        RunNotFoundError: There is no run record.
        ConfigError: The run is finished, or another process is training it.
    """
    record = RunRecord.open(run_dir)
    if record.read()["kind"] != "train":
        raise ConfigError(f"resume: {run_dir} is not a training but '{record.read()['kind']}'")
    if record.effective_status == "finished":
        raise ConfigError(f"resume: {run_dir} is finished; nothing is left to train")
    if record.effective_status == "running":
        raise ConfigError(f"resume: {run_dir} is being trained by process {record.read()['pid']}")
    cfg = OmegaConf.load(record.config_path)
    checkpoint = record.checkpoints_dir / LAST
    console = console or Console()
    record.resume()
    if not checkpoint.is_file():
        console.print(f"no checkpoint was saved in {record.checkpoints_dir}; starting from step 0")
        record.truncate_history(0)
        return _run(cfg, record, console)
    step = int(read_checkpoint(checkpoint)["global_step"])
    record.truncate_history(int((record.history()["step"] <= step).sum()))
    console.print(f"going on from step {step}", highlight=False)
    return _run(cfg, record, console, checkpoint)


def fit_rank(cfg: DictConfig, run_dir: Path) -> None:
    """Take part in a training on several devices as a rank that writes nothing."""
    plan, _ = make_plan(cfg)
    apply_threads(plan)
    dataset = open_dataset_of(cfg)
    record = RunRecord.open(run_dir)
    checkpoint = record.checkpoints_dir / LAST if record.read()["resumed"] else None
    resume_from = checkpoint if checkpoint and checkpoint.is_file() else None
    _prepare(cfg, dataset, plan, record, None, Console(quiet=True)).run(resume_from)


@dataclass
class _Fit:
    """The objects of one training, ready to run."""

    trainer: pl.Trainer
    module: SegmentationModule
    datamodule: Any
    writer: CheckpointWriter
    steps_per_epoch: int

    def run(self, checkpoint: Path | None) -> None:
        """Train until done; the loader starts where the checkpoint left off."""
        if checkpoint is not None:
            step = int(read_checkpoint(checkpoint)["global_step"])
            self.datamodule.set_position(*divmod(step, self.steps_per_epoch))
        path = str(checkpoint) if checkpoint else None
        self.trainer.fit(self.module, datamodule=self.datamodule, ckpt_path=path)

    def forget_ranks(self, plan: ExecutionPlan, run_dir: Path) -> None:
        """After a training on several devices, go on alone: the other ranks have left."""
        if plan.num_devices == 1:
            return
        torch.distributed.destroy_process_group()
        alone = replace(plan, num_devices=1)
        self.trainer = build_trainer(alone, LoopSettings(max_epochs=0), [], run_dir)


def _run(
    cfg: DictConfig,
    record: RunRecord,
    console: Console,
    checkpoint: Path | None = None,
) -> TrainResult:
    resume_step = None
    with _only_writer(record):
        if checkpoint is not None:
            resume_step = int(read_checkpoint(checkpoint)["global_step"])
        with _recorded(cfg, record, resume_step) as view:
            plan, device = make_plan(cfg)
            apply_threads(plan)
            dataset = open_dataset_of(cfg)
            _announce(record, dataset, plan, device, console)
            fit = _prepare(cfg, dataset, plan, record, view, console)
            with other_ranks(record.run_dir, plan.num_devices):
                fit.run(checkpoint)
            _note_micro_batch(record, plan, fit.module)
            fit.forget_ranks(plan, record.run_dir)
            parts = (fit.trainer, fit.module, fit.datamodule, fit.writer)
            metrics = conclude(cfg, record, dataset, parts, view, console)
    return TrainResult(record.run_dir, "finished", metrics)


@contextmanager
def _only_writer(record: RunRecord) -> Iterator[None]:
    lock = FileLock(record.run_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"resume: {record.run_dir} is being trained by another process") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _recorded(cfg: DictConfig, record: RunRecord, resume_step: int | None) -> Iterator[WandbView]:
    """Close record and view with the right status, whatever happens inside."""
    view = open_view(cfg, record, resume_step)
    status, error = "finished", None
    try:
        yield view
    except BaseException as caught:
        stopped = isinstance(caught, KeyboardInterrupt | TrainingInterruptedError)
        status, error = ("interrupted" if stopped else "failed"), caught
        raise
    finally:
        record.finish(status, error)
        view.finish(status)


def _announce(
    record: RunRecord, dataset: Dataset, plan: ExecutionPlan, device: Device,
    console: Console,
) -> None:  # fmt: skip
    record.update(
        dataset_fingerprint=dataset.manifest.fingerprint,
        execution_plan=plan.to_dict(),
        device=device.name,
    )
    counts = ", ".join(f"{count} {split}" for split, count in dataset.manifest.splits().items())
    console.print(f"run {record.run_dir}", highlight=False, soft_wrap=True)
    console.print(
        f"data {dataset.manifest.name} ({counts}; {dataset.labels.num_classes} classes)",
        highlight=False,
    )
    console.print(plan.sentence(), highlight=False)


def _prepare(
    cfg: DictConfig, dataset: Dataset, plan: ExecutionPlan, record: RunRecord,
    view: WandbView | None, console: Console,
) -> _Fit:  # fmt: skip
    datamodule = build_datamodule(cfg, dataset, plan)
    if not datamodule.has_split("val"):
        raise DataError(
            f"data set {dataset.manifest.name} has no val split to choose the best weights on; "
            "import it with one (data.options.val_fraction=0.2 where the importer has it)"
        )
    limit = cfg.trainer.limit_train_batches
    steps_per_epoch = min(datamodule.steps_per_epoch, limit or datamodule.steps_per_epoch)
    module = build_module(cfg, dataset, plan, steps_per_epoch)
    writer = CheckpointWriter(
        record.checkpoints_dir, cfg.monitor.metric, cfg.monitor.mode,
        cfg.callbacks.checkpoint.every_n_steps,
    )  # fmt: skip
    callbacks = _callbacks(cfg, record if is_rank_zero() else None, view, writer, console)
    loop = LoopSettings(
        max_epochs=cfg.trainer.max_epochs, val_every=cfg.trainer.val_every,
        limit_train_batches=cfg.trainer.limit_train_batches,
        limit_val_batches=cfg.trainer.limit_val_batches,
        deterministic=cfg.trainer.deterministic, num_nodes=cfg.trainer.num_nodes,
    )  # fmt: skip
    devices = plain(cfg.trainer.devices)
    trainer = build_trainer(
        plan, loop, callbacks, record.run_dir, devices if isinstance(devices, list) else None
    )
    return _Fit(trainer, module, datamodule, writer, steps_per_epoch)


def _callbacks(
    cfg: DictConfig, record: RunRecord | None, view: WandbView | None, writer: CheckpointWriter,
    console: Console,
) -> list[Callback]:  # fmt: skip
    sinks = [view] if view is not None else []
    callbacks: list[Callback] = [
        FiniteLossGuard(record),
        HistoryWriter(record, sinks, cfg.logger.wandb.log_every_n_steps),
        RunProgress(console, cfg.monitor.metric, cfg.callbacks.progress),
    ]
    if cfg.trainer.ema_decay is not None:
        callbacks.append(WarmEma(cfg.trainer.ema_decay))
    stopping = cfg.callbacks.early_stopping
    if stopping.patience is not None:
        callbacks.append(
            EarlyStopping(
                cfg.monitor.metric, min_delta=stopping.min_delta, patience=stopping.patience,
                mode=cfg.monitor.mode, check_on_train_epoch_end=False,
            )
        )  # fmt: skip
    if view is not None and cfg.callbacks.overlays.num_images:
        callbacks.append(OverlayLogger(view, cfg.callbacks.overlays.num_images))
    return [*callbacks, InterruptGuard(writer), writer]


def _note_micro_batch(record: RunRecord, plan: ExecutionPlan, module: SegmentationModule) -> None:
    if module.micro_batcher.size != plan.micro_batch_size:
        changed = plan.to_dict() | {"micro_batch_size": module.micro_batcher.size}
        record.update(execution_plan=changed)
