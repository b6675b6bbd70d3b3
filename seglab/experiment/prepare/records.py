"""How the records of trainings, folds and cross-validations begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from seglab.core.errors import ConfigError
from seglab.core.text.shell import shell_command
from seglab.core.text.terminal import say
from seglab.core.trial import TrialPrunedError
from seglab.engine.loop.callbacks import TrainingInterruptedError, interruptible
from seglab.experiment.prepare.origins import code_origins
from seglab.experiment.prepare.resolved import resolved
from seglab.runs import RunRecord, new_run_dir

# Names the folds of a cross-validation that was joined from trainings made one by one.
JOINED = "joined.txt"


def start_record(cfg: DictConfig, run_dir: Path | None, kind: str, **facts: Any) -> RunRecord:
    """Start the record of a run that begins now.

    Args:
        cfg: Its configuration, paths made absolute.
        run_dir: Folder for it; a new one under `paths.runs_dir` when None.
        kind: train, fold, cv, trial or eval.
        **facts: Further fields of the record; of an evaluation its run's seed and plug-ins too.
    """
    folder = run_dir or new_run_dir(Path(cfg.paths.runs_dir), cfg.experiment_name, cfg.run_name)
    config = resolved(cfg)
    if kind != "eval":
        facts |= {"seed": cfg.seed, "plugins": code_origins(cfg)}
    return RunRecord.create(
        folder,
        experiment=cfg.experiment_name,
        kind=kind,
        config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)),
        name=cfg.run_name,
        tags=list(cfg.tags),
        notes=cfg.notes,
        **facts,
    )


def require_longer(record: RunRecord, cfg: DictConfig, max_epochs: int) -> None:
    """Refuse a new length that a run cannot be given.

    Raises:
        ConfigError: It is not longer, or the run is part of a study or cross-validation, whose other
            parts would stay as they are.
    """
    kind = record.read()["kind"]
    if kind != "train":
        whole = {"fold": "cross-validation", "trial": "study"}[kind]
        raise ConfigError(
            f"trainer.max_epochs: {record.run_dir} is part of a {whole}, whose other parts would stay "
            "shorter; start a training with model.init_from=RUN_DIR instead"
        )
    if max_epochs <= cfg.trainer.max_epochs:
        raise ConfigError(
            f"trainer.max_epochs: expected more than the {cfg.trainer.max_epochs} epochs that "
            f"{record.run_dir} was to have, got {max_epochs}"
        )


def extend(record: RunRecord, cfg: DictConfig, max_epochs: int, step: int) -> str:
    """Give a run more epochs: change `cfg` in place, and the record; return what to tell the user.

    Args:
        record: Of a training.
        cfg: Its configuration.
        max_epochs: New length.
        step: Optimizer step the run goes on from.
    """
    before = cfg.trainer.max_epochs
    cfg.trainer.max_epochs = max_epochs
    config = resolved(cfg)
    change = {"step": step, "from_epochs": before, "to_epochs": max_epochs}
    record.reconfigure(config, OmegaConf.to_yaml(OmegaConf.create(config)))
    record.update(extended=[*record.read()["extended"], change])
    name = cfg.scheduler.get("name", cfg.scheduler.get("_target_"))
    return (
        f"{before} epochs become {max_epochs}; the learning rate goes on as in a run of {max_epochs} "
        f"epochs at step {step} (scheduler {name})"
    )


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
        status, error = status_after(caught), caught
        raise
    finally:
        # Nothing went wrong in a pruned trial: why it was given up is told, where is no matter.
        record.finish(status, TrialPrunedError(str(error)) if status == "pruned" else error)


def tell_record(record: RunRecord, console: Console) -> None:
    """Say where a finished run is, and what shows it, unless it is part of a whole."""
    say(console, f"record  {record.run_dir}")
    if record.read()["kind"] not in ("fold", "trial"):
        say(console, f"see it  {shell_command('seglab', 'report', record.run_dir)}")


def status_after(error: BaseException) -> str:
    """Return how a run ended that was left by an error: interrupted, pruned or failed."""
    if isinstance(error, KeyboardInterrupt | TrainingInterruptedError):
        return "interrupted"
    return "pruned" if isinstance(error, TrialPrunedError) else "failed"


def saved_config(record: RunRecord) -> DictConfig:
    """Return the configuration a run was started with."""
    cfg = OmegaConf.load(record.config_path)
    if not isinstance(cfg, DictConfig):
        raise ConfigError(f"{record.config_path} is not the configuration of a run")
    return cfg
