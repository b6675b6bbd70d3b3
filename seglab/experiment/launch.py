"""Starts what a configuration asks for, or goes on with what is there: training, folds, a trial.

A trial is judged by the validation split alone. Whoever chooses the best of many by a score makes
that score optimistic, so the test split is left to what becomes of the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError
from seglab.core.trial import TrialChannel, TrialPrunedError, current_trial
from seglab.engine.loop.checkpoint import BEST, LAST
from seglab.experiment.cross_validate import cross_validate, resume_run
from seglab.experiment.prepare.folds import is_cross_validation
from seglab.experiment.train import LOCK_WAIT_S, TrainResult, only_writer, train
from seglab.experiment.trial import trial_config, trial_problems
from seglab.runs import RunRecord
from seglab.runs.folds import FOLDS
from seglab.runs.locate import RECORD_FILE


def launch(
    cfg: DictConfig,
    run_dir: Path | None = None,
    console: Console | None = None,
    *,
    is_valid: bool = False,
) -> TrainResult:
    """Do what `seglab train` says: one training, one fold, or a whole cross-validation.

    Takes and raises what `train` and `cross_validate` do; in the process of a trial, what
    `launch_trial` does.
    """
    if not is_valid:
        require_valid(cfg)
    trial = current_trial()
    if trial is not None and run_dir is not None:
        return launch_trial(cfg, run_dir, trial, console)
    return _start(cfg, run_dir, console)


def _start(
    cfg: DictConfig,
    run_dir: Path | None,
    console: Console | None,
    trial: TrialChannel | None = None,
) -> TrainResult:
    start = cross_validate if is_cross_validation(cfg) else train
    return start(cfg, run_dir, console, trial=trial, is_valid=True)


def launch_trial(
    cfg: DictConfig, run_dir: Path, trial: TrialChannel, console: Console | None = None
) -> TrainResult:
    """Train, or cross-validate, one trial; whatever an earlier process of it did is used.

    A finished trial (its study died before it heard) is not trained again, and neither is a pruned
    one; any other goes on from its last checkpoint. What is left of the checkpoints: of a finished
    trial the best, which can still be scored; of a pruned one none.

    Args:
        cfg: Valid configuration of the trial; a record that is there keeps its own.
        run_dir: Folder for the record.
        trial: The way to the study.
        console: Where progress and tables go.

    Raises:
        TrialPrunedError: The study gave the trial up, now or before.
        ConfigError: The configuration suits no trial, or a former process of the trial does not end.
        SeglabError: The training failed or was interrupted; the record says so too.
    """
    try:
        result = _start_or_resume(cfg, run_dir, trial, console)
    except TrialPrunedError:
        _drop_checkpoints(run_dir, (BEST, LAST))
        raise
    _drop_checkpoints(run_dir, (LAST,))
    return result


def _start_or_resume(
    cfg: DictConfig, run_dir: Path, trial: TrialChannel, console: Console | None
) -> TrainResult:
    if not (run_dir / RECORD_FILE).is_file():
        problems = trial_problems(cfg)
        if problems:
            raise ConfigError(problems)
        return _start(trial_config(cfg, trial), run_dir, console, trial)
    return resume_job(run_dir, console, trial)


def resume_job(
    run_dir: Path, console: Console | None = None, trial: TrialChannel | None = None
) -> TrainResult:
    """Go on with what a former process of the same job left, however it ended.

    Args:
        run_dir: Folder of its record.
        console: Where progress and tables go.
        trial: As for `launch_trial`; None for a job of a plain grid.

    Raises:
        TrialPrunedError: It was given up before.
        SeglabError: As `resume_run`.
    """
    record = RunRecord.open(run_dir)
    # The former process may be on its way out, and still write how it ended.
    with only_writer(record, LOCK_WAIT_S):
        content = record.read()
    if content["status"] == "finished":
        return TrainResult(run_dir, "finished", record.metrics)
    if content["status"] == "pruned":
        raise TrialPrunedError((content["error"] or {}).get("message", "given up before"))
    return resume_run(run_dir, console, trial)


def _drop_checkpoints(run_dir: Path, names: Sequence[str]) -> None:
    for name in names:
        for pattern in (f"checkpoints/{name}", f"{FOLDS}/*/checkpoints/{name}"):
            for path in run_dir.glob(pattern):
                path.unlink(missing_ok=True)
