"""Joins folds that were trained one by one (`cv.fold=N`, on a cluster) into one cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from seglab.core.disk.files import hash_json, write_text
from seglab.core.errors import ConfigError, DataError, list_problems
from seglab.core.text.terminal import open_console, say
from seglab.data.manifest import Manifest
from seglab.experiment.cv.collect import FoldRun, conclude_folds, require_all_folds
from seglab.experiment.parts import open_manifest_of, part_of
from seglab.experiment.prepare.folds import plan_folds
from seglab.experiment.prepare.records import JOINED, finishing, saved_config, start_record
from seglab.experiment.train import TrainResult
from seglab.runs import RunRecord

# What may differ between the folds of one cross-validation: nothing that changes a number.
_FREE = ("run_name", "tags", "notes", "logger", "callbacks", "paths")


def collect(run_dirs: Sequence[Path], console: Console | None = None) -> TrainResult:
    """Make the record of a cross-validation from the records of its folds.

    Args:
        run_dirs: One finished training a fold, each started with `cv.fold=...`.
        console: Where the table goes.

    Returns:
        The new record, beside the folds' own.

    Raises:
        ConfigError: The runs are no folds of one cross-validation; all differences are named.
        DataError: Folds are missing, double or unfinished, or were trained on other data.
    """
    records = [RunRecord.open(path) for path in run_dirs]
    _require_same_training(records)
    cfg = saved_config(records[0])
    cfg.cv.fold = None
    # The group the folds were shown in, so that their summary stands beside them.
    cfg.logger.wandb.group = cfg.logger.wandb.group or cfg.experiment_name
    manifest = open_manifest_of(cfg)
    plan = plan_folds(cfg, manifest)
    runs = [FoldRun(str(record.read()["fold"]), record.run_dir.absolute()) for record in records]
    require_all_folds(plan, runs)
    _require_same_data(records, manifest)
    order = {fold.name: number for number, fold in enumerate(plan.folds)}
    runs.sort(key=lambda run: order[run.name])
    record = start_record(cfg, None, "cv", **manifest.recorded_fingerprints())
    with finishing(record):
        write_text(record.run_dir / JOINED, "".join(f"{run.run_dir}\n" for run in runs))
        plan.write(record.run_dir)
        manifest.write(record.run_dir / "manifest")
        console = console or open_console()
        metrics = conclude_folds(cfg, record, plan, runs, console)
        if cfg.cv.get("leak_report"):
            say(
                console,
                "leak report: left out, for it trains random folds; give it to seglab train",
            )
    return TrainResult(record.run_dir, "finished", metrics)


def _require_same_training(records: Sequence[RunRecord]) -> None:
    problems = []
    if not records:
        raise ConfigError("cv collect: expected the run folders of all folds, got none")
    hashes: dict[str, list[str]] = {}
    for record in records:
        content = record.read()
        if content["kind"] != "fold":
            problems.append(f"{record.run_dir} is not a fold but '{content['kind']}'")
            continue
        config = {key: value for key, value in content["config"].items() if key not in _FREE}
        config["cv"] = {key: value for key, value in config["cv"].items() if key != "fold"}
        hashes.setdefault(hash_json(config), []).append(record.run_id)
    if len(hashes) > 1:
        groups = "; ".join(", ".join(ids) for ids in hashes.values())
        problems.append(f"their configurations differ beyond cv.fold: {groups}")
    if problems:
        raise ConfigError(problems)


def _require_same_data(records: Sequence[RunRecord], manifest: Manifest) -> None:
    problems = []
    for record in records:
        own = part_of(saved_config(record), manifest)
        if not own.is_of(record.read()["dataset_fingerprint"]):
            problems.append(f"{record.run_id} was trained on other data or other folds")
    if problems:
        raise DataError(list_problems("the data changed between the folds", problems))
