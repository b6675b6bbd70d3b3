"""Scores a trained run on a split, through the same step as the evaluation inside training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from seglab.analysis.tables import rich_table
from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError, DataError, RunNotFoundError
from seglab.data.manifest import Manifest
from seglab.engine.callbacks import TrainingInterruptedError, interruptible
from seglab.engine.checkpoint import BEST, LAST, read_checkpoint
from seglab.engine.module import SegmentationModule
from seglab.engine.plan import ExecutionPlan, inspect_device
from seglab.engine.progress import open_console
from seglab.engine.trainer import LoopSettings, apply_threads, build_trainer
from seglab.experiment.parts import (
    Dataset,
    build_datamodule,
    build_module,
    make_plan,
    open_dataset_of,
    plain,
)
from seglab.experiment.summary import draw_figures, evaluate_split, write_results, write_tables
from seglab.runs import RunRecord, new_run_dir

# What an evaluation may choose anew; everything else is as the run was trained.
_PLAN_KEYS = ("accelerator", "precision", "memory_format", "num_threads", "num_workers")


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation left.

    Attributes:
        run_dir: Folder of its record.
        metrics: Flat dict of scores.
    """

    run_dir: Path
    metrics: dict[str, float]


def evaluate(
    cfg: DictConfig, run_dir: Path | None = None, console: Console | None = None
) -> EvaluateResult:
    """Score the weights of a run on a split of its own data, or of other data of the same classes.

    Args:
        cfg: Composed from `evaluate.yaml`.
        run_dir: Folder for the record of this evaluation; a new one beside the run when None.
        console: Where the table goes.

    Raises:
        ConfigError: The configuration is wrong, or the data has other classes than the run.
        DataError: The split has no samples, or the run's own data changed since the training.
        RunNotFoundError: There is no run, or no such checkpoint.
    """
    require_valid(cfg, "evaluate")
    console = console or open_console()
    source = RunRecord.open(cfg.run)
    run_cfg = _configuration(cfg, source)
    weights = _checkpoint_path(source, cfg.checkpoint)
    folder = run_dir or new_run_dir(Path(cfg.paths.runs_dir), cfg.experiment_name, cfg.run_name)
    config = {**plain(cfg), "data": plain(run_cfg.data), "split": cfg.data.split}
    record = RunRecord.create(
        folder, experiment=cfg.experiment_name, kind="eval", config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)), name=cfg.run_name,
        parent=source.run_id, seed=run_cfg.seed, tags=list(cfg.tags), notes=cfg.notes,
        main_split=cfg.data.split,
    )  # fmt: skip
    try:
        with interruptible():
            metrics = _score(cfg, run_cfg, source, weights, record, console)
    except BaseException as error:
        stopped = isinstance(error, TrainingInterruptedError)
        record.finish("interrupted" if stopped else "failed", error)
        raise
    record.finish("finished")
    return EvaluateResult(record.run_dir, metrics)


def _configuration(cfg: DictConfig, source: RunRecord) -> DictConfig:
    """Return the run's configuration with what the evaluation says put in its place."""
    run_cfg = OmegaConf.load(source.config_path)
    if not isinstance(run_cfg, DictConfig) or "model" not in run_cfg:
        raise ConfigError(f"run: {source.run_dir} holds no trained model; give a training")
    content = {key: value for key, value in plain(cfg.data).items() if key != "split"}
    if content["importer"] == "run":
        changes = {key: value for key, value in content.items() if value is not None}
        changes.pop("importer")
        run_cfg.data = OmegaConf.merge(run_cfg.data, changes)
    else:
        own = plain(run_cfg.data)
        # The size a run works at belongs to the model, not to the data it is scored on.
        kept = {} if content.get("image_size") else {"image_size": own["image_size"]}
        run_cfg.data = OmegaConf.create({**own, **content, **kept})
    trained_with = source.read()["execution_plan"] or {}
    same_kind = inspect_device(cfg.trainer.accelerator).accelerator == trained_with.get(
        "accelerator"
    )
    for key in _PLAN_KEYS:
        run_cfg.trainer[key] = cfg.trainer[key]
        # Numbers come out as in the training, where the device is of the same kind.
        if same_kind and cfg.trainer[key] == "auto" and key in ("precision", "memory_format"):
            run_cfg.trainer[key] = trained_with[key]
    run_cfg.trainer.devices = 1
    run_cfg.trainer.limit_val_batches = cfg.trainer.limit_batches
    run_cfg.paths = cfg.paths
    # The weights come from the checkpoint; the file they started from may be gone.
    if "encoder_weights" in run_cfg.model:
        run_cfg.model.encoder_weights = None
    return run_cfg


def _checkpoint_path(source: RunRecord, checkpoint: str) -> Path:
    named = {"best": BEST, "last": LAST}
    if checkpoint in named:
        return source.checkpoints_dir / named[checkpoint]
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise RunNotFoundError(f"checkpoint: expected best, last or a file, got '{checkpoint}'")
    return path


def _score(
    cfg: DictConfig, run_cfg: DictConfig, source: RunRecord, weights: Path, record: RunRecord,
    console: Console,
) -> dict[str, float]:  # fmt: skip
    plan, device = make_plan(run_cfg)
    apply_threads(plan)
    trained_on = Manifest.read(source.run_dir / "manifest")
    dataset = open_dataset_of(run_cfg)
    _require_comparable(cfg, trained_on, dataset)
    module, trainer = _load(run_cfg, replace(dataset, trained_on=trained_on), plan, weights, record)
    datamodule = build_datamodule(run_cfg, replace(dataset, trained_on=trained_on), plan)
    result = evaluate_split(trainer, module, datamodule, cfg.data.split)
    record.update(
        dataset_fingerprint=dataset.manifest.fingerprint, execution_plan=plan.to_dict(),
        device=device.name,
    )  # fmt: skip
    record.set_metrics(result.scores)
    results = {cfg.data.split: result}
    write_results(record, results)
    rows = write_tables(record, dataset.labels, results)
    draw_figures(record, module, datamodule, results)
    console.print(
        rich_table(rows, f"{source.run_id}, {weights.stem} weights, {dataset.manifest.name}")
    )
    console.print(f"record  {record.run_dir}", highlight=False, soft_wrap=True)
    return result.scores


def _require_comparable(cfg: DictConfig, trained_on: Manifest, dataset: Dataset) -> None:
    names, own = dataset.labels.class_names, trained_on.labels.class_names
    if names != own:
        raise ConfigError(
            f"data: the run knows the classes {', '.join(own)}; {dataset.manifest.name} has "
            f"{', '.join(names)}. Only data with the same classes in the same order can be scored"
        )
    if cfg.data.importer == "run" and dataset.manifest.fingerprint != trained_on.fingerprint:
        raise DataError(
            f"the data of the run changed since the training: fingerprint "
            f"{trained_on.fingerprint} then, {dataset.manifest.fingerprint} now. Score it as other "
            f"data (data={cfg.data.get('name', 'NAME')} data.root=...) if that is meant"
        )


def _load(
    run_cfg: DictConfig, dataset: Dataset, plan: ExecutionPlan, weights: Path, record: RunRecord
) -> tuple[SegmentationModule, pl.Trainer]:
    state: dict[str, Any] = read_checkpoint(weights)["state_dict"]
    module = build_module(run_cfg, dataset, plan, steps_per_epoch=1)
    module.load_state_dict(state)
    loop = LoopSettings(max_epochs=0, limit_val_batches=run_cfg.trainer.limit_val_batches)
    return module, build_trainer(plan, loop, [], record.run_dir)
