"""The end of a training: score the best weights, write tables and figures, say how it went."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.console import Console

from seglab.analysis.baseline import baseline_scores
from seglab.analysis.comparison.objectives import judge
from seglab.analysis.comparison.objectives import markdown_table as objective_markdown
from seglab.analysis.comparison.objectives import rich_table as objective_table
from seglab.analysis.comparison.objectives import summary as objective_summary
from seglab.analysis.evaluation.class_scores import class_table
from seglab.analysis.evaluation.figures import confusion_figure, samples_figure
from seglab.analysis.learning.gap import gap_verdict
from seglab.analysis.learning.history_curves import learning_curves
from seglab.analysis.learning.verdict import Verdict, fit_verdict
from seglab.analysis.overlays import fit_image
from seglab.analysis.style import save_figure
from seglab.analysis.tables import Row, format_cell, markdown_table, rich_table
from seglab.core.bands import Bands, picture_of
from seglab.core.disk.files import write_json, write_text
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.text.terminal import say, show
from seglab.data.loading.datamodule import SegDataModule
from seglab.engine.loop.checkpoint import CheckpointWriter
from seglab.engine.loop.samples import spread_evenly
from seglab.engine.loop.scorer import Scorer
from seglab.engine.step.evaluation import EvalResult
from seglab.engine.tracking.tracking import WandbView
from seglab.experiment.fit import Fit
from seglab.experiment.parts import Dataset
from seglab.experiment.prepare.monitor import chosen_by
from seglab.experiment.prepare.records import tell_record
from seglab.experiment.prepare.resolved import resolved
from seglab.experiment.scoring.intervals import (
    cost_of,
    interval_words,
    intervals_of,
    score_sentence,
)
from seglab.experiment.scoring.out_of_fold import OutOfFold, keep_probabilities_of_views
from seglab.metrics.names import MIOU, declared_scores, metric_key
from seglab.runs import RunRecord

_NUM_FIGURE_SAMPLES = 4
_MAX_BASELINE_IMAGES = 200
_FINAL_SPLITS = ("val", "test")
# Chosen among many by its score on val; were each scored on test too, test would choose as well.
_TRIAL_SPLITS = ("val",)


def conclude(
    cfg: DictConfig,
    record: RunRecord,
    dataset: Dataset,
    fit: Fit,
    view: WandbView,
    console: Console,
) -> dict[str, float]:
    """Score the best checkpoint on val and test and leave everything a reader wants as files.

    A trial of a study is never scored on test, and draws no predictions.

    Returns:
        The final scores, as written to the record.

    Raises:
        TrainingError: No epoch was validated, so there is no best checkpoint.
    """
    scorer = fit.scorer(cfg, record.run_dir)
    kind = record.read()["kind"]
    results, metrics = _score_splits(cfg, record, scorer, kind)
    history = record.history()
    best_row = history[history["epoch"] == fit.writer.best_epoch]
    metrics |= {
        "best_epoch": float(fit.writer.best_epoch),
        "train/loss": float(best_row["train/loss"].iloc[0]),
    }
    if cfg.metrics.baseline:
        metrics |= _baselines(dataset, scorer.datamodule)
    for result in results.values():
        metrics |= intervals_of(result, dataset.manifest, dataset.labels)
    # Before what may take long or fail: an interruption does not cost the scores.
    record.set_metrics(metrics)
    metrics |= cost_of(scorer)
    record.set_metrics(metrics)
    write_results(record, results)
    verdict = _judge_fit(cfg, record, scorer, results)
    rows = write_tables(record, dataset.labels, results)
    num_samples = 0 if kind == "trial" else _NUM_FIGURE_SAMPLES
    figures = draw_figures(record, scorer, results, num_samples) | _draw_curves(record, verdict)
    _show(view, record, dataset, results, rows, figures, metrics)
    show(console, rich_table(rows, _title(cfg, fit.writer)))
    told = f"{chosen_by(cfg, metrics)}\nfit: {verdict.sentence}"
    _tell(console, record, metrics, told, list(results))
    tell_objective(targets_of(cfg), record, metrics, console)
    return metrics


def _score_splits(
    cfg: DictConfig, record: RunRecord, scorer: Scorer, kind: str
) -> tuple[dict[str, EvalResult], dict[str, float]]:
    """Score the splits a run of this kind may see; a fold keeps what it held out."""
    wanted = _TRIAL_SPLITS if kind == "trial" else _FINAL_SPLITS
    splits = [split for split in wanted if scorer.datamodule.has_split(split)]
    probabilities = cfg.cv.get("save_probabilities", False)
    kept = (
        OutOfFold(record.run_dir, scorer.labels, probabilities is True) if kind == "fold" else None
    )
    held_out = splits[-1]
    results = {
        split: scorer.score(split, kept.observers if kept and split == held_out else ())
        for split in splits
    }
    metrics = {key: value for result in results.values() for key, value in result.scores.items()}
    if kept is not None:
        metrics |= kept.close(held_out)
        if probabilities == "tta":
            keep_probabilities_of_views(record.run_dir, scorer, held_out)
    return results, metrics


def _judge_fit(
    cfg: DictConfig, record: RunRecord, scorer: Scorer, results: dict[str, EvalResult]
) -> Verdict:
    """Write and return the verdict of losses and of scores; training images are not augmented."""
    count = cfg.metrics.get("train_images", 0)
    train = scorer.score("train", limit=count).per_image if count else None
    test = results["test"].per_image if "test" in results else None
    gap = gap_verdict(train, results["val"].per_image, test)
    verdict = fit_verdict(record.history(), scores=gap)
    write_json(record.run_dir / "verdict.json", {**asdict(verdict), "gap": asdict(gap)})
    if gap.kind != "not measured":
        record.set_metrics({"train/miou": float(gap.scores["train"].score)})
    return verdict


def write_results(record: RunRecord, results: dict[str, EvalResult]) -> None:
    """Write per-image counts of all splits, and one confusion matrix a split."""
    record.write_per_image(pd.concat([result.per_image for result in results.values()]))
    for split, result in results.items():
        record.write_confusion(split, result.confusion)


def write_tables(
    record: RunRecord, labels: LabelSpace, results: dict[str, EvalResult]
) -> list[Row]:
    """Write the table of classes as Markdown; return its rows."""
    confusions = {split: result.confusion for split, result in results.items()}
    rows = class_table(confusions, labels.class_names)
    write_text(record.run_dir / "classes.md", markdown_table(rows))
    return rows


def _at_mask_size(
    image: np.ndarray, mask: np.ndarray | None, bands: Bands | None
) -> tuple[np.ndarray, np.ndarray]:
    if mask is None:
        raise DataError("a baseline needs masks; a sample without one came")
    # Colour is what pictures show: of many bands those of data.display_bands, stretched.
    return fit_image(picture_of(image, bands), mask.shape), mask


def _baselines(dataset: Dataset, datamodule: SegDataModule) -> dict[str, float]:
    def pairs(split: str, limit: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
        ids = datamodule.sample_ids(split)
        rows = dataset.cache.rows(ids if limit is None else spread_evenly(ids, limit))
        cache, bands = dataset.cache, dataset.bands
        return [_at_mask_size(cache.image(row), cache.mask(row), bands) for row in rows]

    scores = baseline_scores(
        pairs("train", _MAX_BASELINE_IMAGES), pairs("val", None), dataset.labels
    )
    return {f"baseline/{name}/val/miou": score for name, score in scores.items()}


def draw_figures(
    record: RunRecord,
    scorer: Scorer,
    results: dict[str, EvalResult],
    num_samples: int = _NUM_FIGURE_SAMPLES,
) -> dict[str, Path]:
    """Draw samples of the first split and a confusion matrix a split; return the files."""
    labels = scorer.labels
    result = next(iter(results.values()))
    # From the worst to the best, evenly: neither a choice of ours nor the best alone.
    ranked = result.per_image.dropna(subset="miou").sort_values("miou")["sample_id"].tolist()
    paths = {}
    if ranked and num_samples:
        samples = scorer.predict(spread_evenly(ranked, num_samples))
        paths["samples"] = record.figures_dir / "samples.png"
        save_figure(samples_figure(samples, labels), paths["samples"])
    for name, one in results.items():
        title = f"{name}: mIoU {format_cell(one.scores[metric_key(name, MIOU)])}"
        paths[f"confusion_{name}"] = record.figures_dir / f"confusion_{name}.png"
        figure = confusion_figure(one.confusion, labels.class_names, title)
        save_figure(figure, paths[f"confusion_{name}"])
    return paths


def _draw_curves(record: RunRecord, verdict: Verdict) -> dict[str, Path]:
    path = record.figures_dir / "curves.png"
    save_figure(learning_curves(record.history(), record.run_id, verdict), path)
    return {"curves": path}


def _show(
    view: WandbView,
    record: RunRecord,
    dataset: Dataset,
    results: dict[str, EvalResult],
    rows: list[Row],
    figures: dict[str, Path],
    metrics: dict[str, float],
) -> None:
    view.log_summary(metrics, interval_words(metrics, results))
    view.log_table("tables/classes", rows, record.run_dir)
    for split, result in results.items():
        view.log_confusion(split, result.confusion, dataset.labels.class_names)
    view.log_images({f"figures/{name}": path for name, path in figures.items()})
    fingerprint = dataset.manifest.fingerprint
    snapshot = dataset.manifest.write(record.run_dir / "manifest")
    files = sorted(snapshot.parent.glob("manifest.*"))
    # Folds see the data set each in its own way; one name for all would hide which.
    fold = record.read()["fold"]
    name = "-".join(["dataset", dataset.manifest.name, *([str(fold)] if fold else [])])
    # W&B uploads no files anew that it has by their digest: one artifact version a manifest version.
    told = {"fingerprint": fingerprint, "splits": dataset.manifest.splits()}
    view.log_artifact_files("dataset", name, files, metadata=told)
    best = record.checkpoints_dir / "best.ckpt"
    # Headlines: the number of keys must not grow with that of the classes.
    names = [score.name for score in declared_scores("always") if score.function]
    shown = [metric_key(split, name) for split in results for name in names]
    headlines = {key: metrics[key] for key in ["best_epoch", *shown] if key in metrics}
    view.log_artifact_files(
        "model",
        f"{record.run_id}-best",
        [best, record.config_path],
        ["best"],
        {"fingerprint": fingerprint, **headlines},
    )
    record.update(wandb=view.facts())


def targets_of(cfg: DictConfig) -> list[str]:
    """Return the targets of `cfg.objective`; none for records older than objectives."""
    return resolved(cfg.objective.targets) if cfg.get("objective") is not None else []


def tell_objective(
    targets: list[str], record: RunRecord, metrics: dict[str, float], console: Console
) -> None:
    """Hold the scores against targets; print and write the outcomes, if there are any."""
    outcomes = judge(targets, metrics, main_split=record.read()["main_split"])
    if not outcomes:
        return
    write_text(record.run_dir / "objective.md", objective_markdown(outcomes))
    show(console, objective_table(outcomes))
    say(console, objective_summary(outcomes))


def _title(cfg: DictConfig, writer: CheckpointWriter) -> str:
    limit = cfg.trainer.limit_val_batches
    part = f", only {limit} batches a split (trainer.limit_val_batches)" if limit else ""
    return f"best weights, epoch {writer.best_epoch}{part}"


def _tell(
    console: Console, record: RunRecord, metrics: dict[str, float], told: str, splits: list[str]
) -> None:
    kind = record.read()["kind"]
    if kind == "trial":
        say(console, "test: not scored, for a study chooses among its trials by val alone")
    elif "test" not in splits and kind != "fold":
        say(console, "test: this data set has no test split, so nothing was scored on it")
    for name in ("constant", "colour"):
        key = f"baseline/{name}/val/miou"
        if key in metrics:
            say(console, f"baseline {name}: val/miou {metrics[key]:.4f}")
    for split in splits:
        say(console, score_sentence(metrics, split))
    say(console, told)
    say(console, f"figures {record.figures_dir}")
    tell_record(record, console)
