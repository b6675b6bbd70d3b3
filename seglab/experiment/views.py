"""The W&B view of a record."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from seglab.engine.tracking import WandbView
from seglab.engine.wandb_session import WandbConfig
from seglab.experiment.plain import plain
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
            run_dir=record.run_dir, run_id=record.run_id, mode=wandb.mode, project=wandb.project,
            entity=wandb.entity, group=group, name=cfg.run_name, tags=tuple(cfg.tags),
            job_type=kind, notes=cfg.notes, log_model=wandb.log_model,
        )
    )  # fmt: skip


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
    view.start(plain(cfg), history, resume_step)
    record.update(wandb=view.facts())
