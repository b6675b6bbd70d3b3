"""How the records of trainings, folds and cross-validations begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.experiment.plain import plain
from seglab.runs import RunRecord, new_run_dir


def start_record(cfg: DictConfig, run_dir: Path | None, kind: str, **facts: Any) -> RunRecord:
    """Start the record of a run that begins now.

    Args:
        cfg: Its configuration, paths made absolute.
        run_dir: Folder for it; a new one under `paths.runs_dir` when None.
        kind: train, fold or cv.
        **facts: Further fields of the record.
    """
    folder = run_dir or new_run_dir(Path(cfg.paths.runs_dir), cfg.experiment_name, cfg.run_name)
    config = plain(cfg)
    return RunRecord.create(
        folder, experiment=cfg.experiment_name, kind=kind, config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)), name=cfg.run_name, seed=cfg.seed,
        tags=list(cfg.tags), notes=cfg.notes, **facts,
    )  # fmt: skip
