"""How the records of trainings, folds and cross-validations begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.engine.callbacks import TrainingInterruptedError, interruptible
from seglab.experiment.plain import plain
from seglab.runs import RunRecord, new_run_dir

# Names the folds of a cross-validation that was joined from trainings made one by one.
JOINED = "joined.txt"


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


@contextmanager
def finishing(record: RunRecord) -> Iterator[None]:
    """Close a record with the right status, whatever happens inside; Ctrl-C and SIGTERM end it.

    Raises:
        TrainingInterruptedError: The body was asked to stop.
    """
    status, error = "finished", None
    try:
        with interruptible():
            yield
    except BaseException as caught:
        stopped = isinstance(caught, KeyboardInterrupt | TrainingInterruptedError)
        status, error = ("interrupted" if stopped else "failed"), caught
        raise
    finally:
        record.finish(status, error)
