"""All folds of a cross-validation, one after another or side by side, and what they say together."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError, DataError
from seglab.core.text.terminal import open_console, say, say_heading
from seglab.core.trial import TrialChannel
from seglab.data.folds import FoldPlan, fold_warnings
from seglab.engine.device.slots import Slot, make_slots
from seglab.experiment.cv.collect import FoldRun, conclude_folds, shown_if_cut_short
from seglab.experiment.cv.fold_processes import train_side_by_side
from seglab.experiment.cv.fold_reports import FoldReports
from seglab.experiment.cv.leak_report import report_leak
from seglab.experiment.parts import open_dataset_of, open_manifest_of, with_absolute_paths
from seglab.experiment.prepare.folds import plan_folds
from seglab.experiment.prepare.monitor import require_defined_in_folds
from seglab.experiment.prepare.records import JOINED, finishing, saved_config, start_record
from seglab.experiment.prepare.resolved import resolved
from seglab.experiment.prepare.same_data import require_same_data, require_same_data_as_other_trials
from seglab.experiment.train import (
    LOCK_WAIT_S,
    TrainResult,
    only_writer,
    require_own_process,
    resume,
    train,
)
from seglab.runs import RunRecord
from seglab.runs.folds import FOLDS
from seglab.runs.locate import RECORD_FILE

FOLDS_FILE = "folds.parquet"


def resume_run(
    run_dir: Path, console: Console | None = None, trial: TrialChannel | None = None
) -> TrainResult:
    """Go on with a stopped training, fold or cross-validation; finished folds stay as they are.

    Args:
        run_dir: Folder of the record.
        console: Where progress and tables go.
        trial: As for `cross_validate`.

    Raises:
        RunNotFoundError: There is no run record.
        ConfigError: The run is finished, or another process is at it.
    """
    record = RunRecord.open(run_dir.absolute())
    if record.read()["kind"] != "cv":
        return resume(run_dir, console, trial)
    if (record.run_dir / JOINED).is_file():
        raise ConfigError(
            f"resume: {run_dir} was joined from folds trained one by one and trains none itself; run "
            "`seglab cv collect` again"
        )
    with only_writer(record):
        if record.status == "finished":
            raise ConfigError(f"resume: {run_dir} is finished; no fold is left to train")
        record.resume()
        return _run(saved_config(record), record, console or open_console(), trial)


def cross_validate(
    cfg: DictConfig,
    run_dir: Path | None = None,
    console: Console | None = None,
    parent: str | None = None,
    trial: TrialChannel | None = None,
    *,
    is_valid: bool = False,
) -> TrainResult:
    """Train one model per fold and leave a record of what they score together.

    Args:
        cfg: Composed configuration with `cv`; validated here, unless it is known to be valid.
        run_dir: Folder for the record; the folds' own records lie in its `folds/`.
        console: Where progress and tables go.
        parent: Run id of the cross-validation whose leak report this one is for.
        trial: The study this cross-validation is a trial of; hears of each finished fold.
        is_valid: Whether it is.

    Raises:
        ConfigError: The configuration has mistakes; all are listed.
        DataError: The data cannot be cut into such folds, or they would leak.
        TrialPrunedError: The study gives the trial up.
        SeglabError: A fold failed or was interrupted; `resume` goes on where it stopped.
    """
    if not is_valid:
        require_valid(cfg)
    require_own_process()
    cfg = with_absolute_paths(cfg)
    parent = trial.study if trial is not None else parent
    record = start_record(cfg, run_dir, "cv", parent=parent)
    with only_writer(record):
        return _run(cfg, record, console or open_console(), trial)


def _run(
    cfg: DictConfig, record: RunRecord, console: Console, trial: TrialChannel | None = None
) -> TrainResult:
    with finishing(record):
        # The group of a study shows how each trial ended.
        with shown_if_cut_short(cfg, record) if trial is not None else nullcontext():
            plan = _plan(cfg, record, console)
            slots = _slots(cfg)
            folds = [_fold_run(record, fold.name) for fold in plan.folds]
            reports = FoldReports(trial, cfg.monitor.metric, folds) if trial is not None else None
            _train_folds(cfg, record, folds, slots, console, reports)
        metrics = conclude_folds(cfg, record, plan, folds, console)
        if cfg.cv.get("leak_report"):
            metrics |= report_leak(cfg, record, console, cross_validate, resume_run)
    return TrainResult(record.run_dir, "finished", metrics)


def _plan(cfg: DictConfig, record: RunRecord, console: Console) -> FoldPlan:
    manifest = open_manifest_of(cfg)
    require_same_data(record, manifest, "start anew")
    require_same_data_as_other_trials(record, manifest)
    plan = plan_folds(cfg, manifest)
    require_defined_in_folds(cfg, plan, manifest)
    if (record.run_dir / FOLDS_FILE).is_file():
        _require_same_plan(plan, FoldPlan.read(record.run_dir), record)
    plan.write(record.run_dir)
    manifest.write(record.run_dir / "manifest")
    record.update(**manifest.recorded_fingerprints())
    # Before any process of a fold does, so that they find it.
    open_dataset_of(cfg)
    say(console, f"cv  {record.run_dir}")
    say(console, f"{len(plan.folds)} folds ({cfg.cv.scheme}, plan {plan.hash}) of {manifest.name}")
    for warning in fold_warnings(plan, manifest):
        say(console, f"warning: {warning}")
    return plan


def _require_same_plan(plan: FoldPlan, before: FoldPlan, record: RunRecord) -> None:
    if plan.hash != before.hash:
        raise DataError(
            f"the folds of {record.run_dir} were cut as plan {before.hash}, now they come out as "
            f"{plan.hash}: the data or the libraries that cut it changed. Put them back, or start anew"
        )


def _slots(cfg: DictConfig) -> list[Slot]:
    devices, workers = resolved(cfg.trainer.devices), cfg.cv.workers
    only = devices if isinstance(devices, list) else None
    each = 1 if devices == "auto" else len(only) if only is not None else int(devices)
    if only is not None and workers != "auto":
        each = max(1, len(only) // int(workers))
    return make_slots(cfg.trainer.accelerator, workers, each, only)


def _fold_run(record: RunRecord, name: str) -> FoldRun:
    folder = record.run_dir / FOLDS
    # Of a record that was renamed, the folds keep the names they were trained under.
    there = sorted(path.parent for path in folder.glob(f"*-{name}/{RECORD_FILE}"))
    # Run ids are unique among all runs, and W&B knows a run by its id.
    return FoldRun(name, there[0] if there else folder / f"{record.run_id}-{name}")


def fold_config(cfg: DictConfig, record: RunRecord, name: str) -> DictConfig:
    """Return the configuration of one fold of a cross-validation."""
    own = cfg.copy()
    own.cv.fold = name
    own.run_name = f"{cfg.run_name or record.run_id} {name}"
    own.logger.wandb.group = cfg.logger.wandb.group or record.run_id
    return own


def train_fold(
    cfg: DictConfig,
    record: RunRecord,
    fold: FoldRun,
    console: Console,
    trial: TrialChannel | None = None,
) -> None:
    """Train a fold, go on with it, or leave it alone if it is finished."""
    if not (fold.run_dir / RECORD_FILE).is_file():
        own = fold_config(cfg, record, fold.name)
        train(own, fold.run_dir, console, record.run_id, trial, is_valid=True)
        return
    # The process of a fold ends a little after its cross-validation was killed.
    with only_writer(RunRecord(fold.run_dir), LOCK_WAIT_S):
        finished = fold.is_finished()
    if not finished:
        resume(fold.run_dir, console, trial)


def _train_by_itself(cfg: DictConfig, record: RunRecord, fold: FoldRun) -> None:
    """Train a fold in a process that sees its own devices alone, and prints into a file."""
    cfg.callbacks.progress = "plain"
    cfg.trainer.devices = "auto"
    train_fold(cfg, record, fold, open_console())


def _train_folds(
    cfg: DictConfig,
    record: RunRecord,
    folds: list[FoldRun],
    slots: list[Slot],
    console: Console,
    reports: FoldReports | None = None,
) -> None:
    waiting = [fold for fold in folds if not fold.is_finished()]
    if len(waiting) < len(folds):
        say(console, f"{len(folds) - len(waiting)} folds are finished already")
    if reports is not None:
        # Those of a former process too: it may have died before it told.
        for fold in folds:
            if fold not in waiting:
                reports.report(fold)
    if len(slots) > 1 and waiting:
        by_itself = functools.partial(_train_by_itself, saved_config(record), record)
        finished = reports.report if reports is not None else None
        train_side_by_side(by_itself, record.run_dir, waiting, slots, console, finished)
        return
    for fold in waiting:
        say_heading(console, f"fold {fold.name}")
        channel = reports.channel(fold) if reports is not None else None
        train_fold(cfg, record, fold, console, channel)
        if reports is not None:
            reports.report(fold)
