"""Joins the folds of a cross-validation: scores, pooled counts, figures, and one W&B run for all."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.console import Console

from seglab.analysis.evaluation.figures import confusion_figure
from seglab.analysis.evaluation.folds import fold_boxplot, fold_table, summarise_folds
from seglab.analysis.style import save_figure
from seglab.analysis.tables import frame_rows, interval_cell, markdown_table, rich_table
from seglab.core.disk.files import atomic_path, write_text
from seglab.core.errors import DataError, list_problems
from seglab.core.labels import LabelSpace
from seglab.core.sample_size import TOO_FEW_REPEATS
from seglab.core.text.terminal import say, show
from seglab.data.folds import Fold, FoldPlan
from seglab.data.manifest import Manifest
from seglab.experiment.prepare.records import status_after, tell_record
from seglab.experiment.scoring.out_of_fold import calibrate_out_of_fold
from seglab.experiment.scoring.summary import targets_of, tell_objective
from seglab.experiment.scoring.views import make_view, start_view
from seglab.metrics.names import MIOU, metric_key
from seglab.metrics.scores import iou_per_class, mean_defined, score_dict
from seglab.runs import RunRecord
from seglab.runs.folds import SCORES_FILE, relative_to_record
from seglab.runs.locate import RECORD_FILE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldRun:
    """The training of one fold.

    Attributes:
        name: Of the fold in the plan, such as `r0-f2`.
        run_dir: Folder of its record, which may not be there yet.
    """

    name: str
    run_dir: Path

    def is_finished(self) -> bool:
        """Whether there is a finished record."""
        there = (self.run_dir / RECORD_FILE).is_file()
        return there and RunRecord(self.run_dir).status == "finished"

    def sentence(self) -> str:
        """Return status and score in a few words."""
        record = RunRecord(self.run_dir)
        scores = [
            f"{key} {record.metrics[key]:.4f}"
            for key in ("val/miou", "test/miou")
            if key in record.metrics
        ]
        return ", ".join([record.status, *scores])


def conclude_folds(
    cfg: DictConfig, record: RunRecord, plan: FoldPlan, runs: list[FoldRun], console: Console
) -> dict[str, float]:
    """Write what the finished folds say together into the record, and show it.

    Args:
        cfg: Configuration of the cross-validation.
        record: Its record.
        plan: Its folds.
        runs: One finished training a fold.
        console: Where the table goes.

    Returns:
        The metrics, as written to the record; see `summarise_folds`. Besides, the score of the
        pooled out-of-fold counts (each image counts once a repeat) under `{split}/miou_pooled`,
        and means over folds of the monitored score, of one's own and of what a prediction costs.
    """
    folds = {fold.name: fold for fold in plan.folds}
    split = "test" if any(fold.test_ids for fold in plan.folds) else "val"
    record.update(main_split=split)
    labels = Manifest.read(runs[0].run_dir / "manifest").labels
    scores = pd.DataFrame(
        [_score_row(folds[run.name], run, split, labels, record.run_dir) for run in runs]
    )
    pooled = sum(RunRecord(run.run_dir).confusion(split) for run in runs)
    metrics = _means(cfg, runs, split) | summarise_folds(scores, split)
    metrics[metric_key(split, f"{MIOU}_pooled")] = mean_defined(iou_per_class(np.asarray(pooled)))
    metrics[metric_key(split, "ece")] = float(scores["ece"].mean())
    metrics |= calibrate_out_of_fold(
        [(run.run_dir, (folds[run.name].repeat, folds[run.name].number)) for run in runs],
        labels.num_classes,
        split,
    )
    with atomic_path(record.run_dir / SCORES_FILE) as temporary:
        scores.to_parquet(temporary, index=False)
    record.write_confusion(split, np.asarray(pooled))
    record.write_per_image(_pool_per_image(folds, runs, split))
    record.set_metrics(metrics)
    rows = fold_table(scores)
    write_text(record.run_dir / "folds.md", markdown_table(rows))
    _draw(record, scores, np.asarray(pooled), labels)
    _show(cfg, record, split, scores, np.asarray(pooled), labels)
    _tell(console, record, rows, split, metrics)
    tell_objective(targets_of(cfg), record, metrics, console)
    return metrics


def _means(cfg: DictConfig, runs: list[FoldRun], split: str) -> dict[str, float]:
    """Return what a study may choose by beside the usual scores; NaN where a fold lacks it."""
    found = [RunRecord(run.run_dir).metrics for run in runs]
    keys = [key for key in found[0] if key.startswith("cost/")]
    keys += [metric_key(split, name) for name in cfg.metrics.get("extra") or ()]
    if split == "val":
        keys.append(cfg.monitor.metric)
    return {key: float(np.mean([one.get(key, math.nan) for one in found])) for key in keys}


def _score_row(
    fold: Fold, run: FoldRun, split: str, labels: LabelSpace, cv_dir: Path
) -> dict[str, object]:
    # Not those of the plan: a run may train on a share of them.
    trained_on = Manifest.read(run.run_dir / "manifest").splits()["train"]
    record = RunRecord(run.run_dir)
    scores = score_dict(record.confusion(split), labels.class_names, split)
    held_out = fold.test_ids or fold.val_ids
    return {
        "repeat": fold.repeat,
        "number": fold.number,
        "fold": fold.name,
        "run_id": record.run_id,
        "run_dir": relative_to_record(run.run_dir, cv_dir),
        "status": record.status,
        "seed": record.read()["seed"],
        "train_images": trained_on,
        "images": len(held_out),
        # From the counts: folds trained before a score existed have it, too.
        **{key.removeprefix(f"{split}/"): value for key, value in scores.items()},
        "ece": record.metrics[metric_key(split, "ece")],
    }


def _pool_per_image(folds: dict[str, Fold], runs: list[FoldRun], split: str) -> pd.DataFrame:
    frames = []
    for run in runs:
        frame = RunRecord(run.run_dir).per_image()
        frame = frame[frame["split"] == split].copy()
        frame["fold"], frame["repeat"] = run.name, folds[run.name].repeat
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def require_all_folds(plan: FoldPlan, runs: list[FoldRun]) -> None:
    """Check that there is exactly one finished training of every fold.

    Raises:
        DataError: Folds are missing, double or unfinished; all are named.
    """
    problems = []
    for fold in plan.folds:
        own = [run for run in runs if run.name == fold.name]
        if not own:
            problems.append(f"{fold.name}: missing; train it with cv.fold={fold.name}")
        elif len(own) > 1:
            problems.append(
                f"{fold.name}: {len(own)} times ({', '.join(str(r.run_dir) for r in own)})"
            )
        elif not own[0].is_finished():
            problems.append(f"{fold.name}: {RunRecord(own[0].run_dir).effective_status}")
    if problems:
        raise DataError(list_problems("not every fold has one finished training", problems))


def _draw(record: RunRecord, scores: pd.DataFrame, pooled: np.ndarray, labels: LabelSpace) -> None:
    figure = fold_boxplot(scores, f"{record.run_id}: {len(scores)} folds")
    save_figure(figure, record.figures_dir / "folds.png")
    title = f"out of fold, pooled: mIoU {mean_defined(iou_per_class(pooled)):.3f}"
    figure = confusion_figure(pooled, labels.class_names, title)
    save_figure(figure, record.figures_dir / "confusion_pooled.png")


def _show(
    cfg: DictConfig,
    record: RunRecord,
    split: str,
    scores: pd.DataFrame,
    pooled: np.ndarray,
    labels: LabelSpace,
) -> None:
    with make_view(cfg, record) as view:
        start_view(view, cfg, record, None)
        words = {f"{metric_key(split, MIOU)}_interval": _interval(record.metrics, split)}
        view.log_summary(record.metrics, words)
        view.log_table("tables/folds", frame_rows(scores.drop(columns="run_dir")), record.run_dir)
        view.log_confusion(split, pooled, labels.class_names)
        pictures = {f"figures/{path.stem}": path for path in record.figures_dir.glob("*.png")}
        view.log_images(pictures)
        plan_files = [record.run_dir / "folds.parquet", record.run_dir / "folds.yaml"]
        view.log_artifact_files("dataset", f"{record.run_id}-folds", plan_files)
    record.update(wandb=view.facts())


@contextmanager
def shown_if_cut_short(cfg: DictConfig, record: RunRecord) -> Iterator[None]:
    """Show in W&B how a cross-validation ended whose folds were not all trained.

    One that was interrupted is not shown, for it goes on.

    Args:
        cfg: Its configuration.
        record: Its record.
    """
    try:
        yield
    except Exception as error:
        status = status_after(error)
        if status != "interrupted":
            try:
                _show_ending(cfg, record, status)
            except Exception as second:  # noqa: BLE001 - what ended the folds is what matters
                log.warning("W&B does not show that %s %s: %s", record.run_id, status, second)
        raise


def _show_ending(cfg: DictConfig, record: RunRecord, status: str) -> None:
    with make_view(cfg, record) as view:
        start_view(view, cfg, record, None)
        view.finish(status)
    record.update(wandb=view.facts())


def _tell(
    console: Console,
    record: RunRecord,
    rows: list[dict[str, str | int | float]],
    split: str,
    metrics: dict[str, float],
) -> None:
    show(console, rich_table(rows, f"{record.run_id}: {split}, best weights of each fold"))
    key = metric_key(split, MIOU)
    say(
        console,
        f"{key} {metrics[key]:.4f} +- {metrics[f'{key}_std']:.4f} between folds, 95 % interval of the "
        f"mean {_interval(metrics, split)}, pooled out of fold {metrics[f'{key}_pooled']:.4f}",
    )
    say(
        console,
        f"calibration error {metrics[f'{split}/ece']:.4f}, {metrics[f'{split}/ece_calibrated']:.4f} with "
        f"temperatures fitted out of fold (about {metrics[f'{split}/temperature']:.2f})",
    )
    tell_record(record, console)


def _interval(metrics: Mapping[str, float], split: str) -> str:
    low, high = (metrics[f"{metric_key(split, MIOU)}_{end}"] for end in ("low", "high"))
    return interval_cell(low, high, 4, too_few=f"unknown ({TOO_FEW_REPEATS})")
