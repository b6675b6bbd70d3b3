"""The W&B view of a record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seglab.analysis.tables import Row, frame_rows
from seglab.core.labels import LabelSpace
from seglab.engine.tracking.tracking import WandbView
from seglab.engine.tracking.wandb_session import WandbConfig
from seglab.experiment.prepare.resolved import resolved
from seglab.experiment.scoring.intervals import interval_words
from seglab.experiment.scoring.suite import SuiteResult
from seglab.runs import RunRecord


def make_view(cfg: DictConfig, record: RunRecord) -> WandbView:
    """Return the view of a record, not started yet.

    Args:
        cfg: Configuration of the run.
        record: The run.
    """
    wandb = cfg.logger.wandb
    kind = record.read()["kind"]
    # The folds and the summary of a cross-validation form one group.
    group = wandb.group or (record.run_id if kind == "cv" else cfg.experiment_name)
    return WandbView(
        WandbConfig(
            run_dir=record.run_dir,
            run_id=record.run_id,
            mode=wandb.mode,
            project=wandb.project,
            entity=wandb.entity,
            group=group,
            name=cfg.run_name,
            tags=tuple(cfg.tags),
            job_type=kind,
            notes=cfg.notes,
            log_model=wandb.log_model,
        )
    )


def start_view(
    view: WandbView, cfg: DictConfig, record: RunRecord, resume_step: int | None
) -> None:
    """Start the W&B run, or take it up again after a resume.

    Does nothing where W&B is disabled or cannot be started.

    Args:
        view: From `make_view`.
        cfg: Configuration of the run; shown in full.
        record: The run; gets id, mode and folders of the W&B run.
        resume_step: Optimizer step of the checkpoint the run goes on from; None for a new run.
    """
    history: list[dict[str, Any]] = []
    if resume_step is not None:
        rows = record.history().to_dict("records")
        history = [{str(key): value for key, value in row.items()} for row in rows]
    view.start(resolved(cfg), history, resume_step)
    content = record.read()
    model = cfg.get("model", {})
    view.describe(
        {
            # SegNets have no `arch`, so the class stands for it.
            "architecture": model.get("arch", str(model.get("_target_", "")).rpartition(".")[2]),
            **{key: content[key] for key in ("kind", "fold", "parent")},
            "git_commit": (content["git"] or {}).get("commit"),
        }
    )
    record.update(wandb=view.facts())


def show_evaluation(
    view: WandbView,
    record: RunRecord,
    labels: LabelSpace,
    found: SuiteResult,
    rows: list[Row],
    figures: Mapping[str, Path],
) -> None:
    """Show what an evaluation found: scores, tables, figures, and the gallery with its pictures.

    Args:
        view: Open or not.
        record: Of the evaluation, with its metrics and pictures.
        labels: Classes.
        found: Result and tables of the suite.
        rows: Table of classes.
        figures: Files by name.
    """
    split = found.result.split
    view.log_summary(record.metrics, interval_words(record.metrics, [split]))
    view.log_table("tables/classes", rows, record.run_dir)
    view.log_confusion(split, found.result.confusion, labels.class_names)
    view.log_images({f"figures/{name}": path for name, path in figures.items()})
    for name, table in found.tables.items():
        view.log_table(f"tables/{name}", frame_rows(table), record.run_dir)
    record.update(wandb=view.facts())
