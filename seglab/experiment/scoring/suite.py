"""What an evaluation measures beside the scores: intervals, boundaries, calibration, slices, stress."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor

from seglab.analysis.evaluation.evaluations import corruptions_figure, reliability, slices_figure
from seglab.analysis.style import save_figure
from seglab.augment.corruption.corruptions import CORRUPTIONS, corrupt
from seglab.core.bands import Bands
from seglab.core.disk.files import atomic_path
from seglab.core.text.terminal import say
from seglab.engine.loop.scorer import Scorer
from seglab.engine.step.evaluation import EvalResult, Observer
from seglab.engine.step.observers import BoundaryObserver, ConfidenceObserver, SliceObserver
from seglab.experiment.scoring.intervals import intervals_of
from seglab.experiment.scoring.slices import score_slices
from seglab.metrics.names import DICE, MIOU, metric_key
from seglab.runs import RunRecord

# One seed for all runs, so that they are compared on the same corruptions.
_SEED = 0


@dataclass(frozen=True)
class SuiteResult:
    """What the suite found.

    Attributes:
        result: The scores, with what was measured besides among them and per image.
        tables: File name -> table.
    """

    result: EvalResult
    tables: dict[str, pd.DataFrame]


def run_suite(
    cfg: DictConfig, scorer: Scorer, split: str, observers: Sequence[Observer] = ()
) -> SuiteResult:
    """Score a split once, with everything that `cfg.suite` asks for measured on the way.

    Args:
        cfg: Of the evaluation.
        scorer: Of the weights and the data.
        split: Split of it.
        observers: What else looks at each batch.
    """
    suite, labels = cfg.suite, scorer.labels
    manifest = scorer.datamodule.manifest
    boundary = BoundaryObserver(labels) if suite.boundary else None
    confidence = ConfidenceObserver(labels) if suite.calibration else None
    slices = SliceObserver(labels) if suite.slices else None
    own: list[Observer] = [one for one in (boundary, confidence, slices) if one is not None]
    result = scorer.score(split, [*own, *observers])
    scores, tables, per_image = dict(result.scores), {}, result.per_image
    if suite.intervals:
        scores |= intervals_of(result, manifest, labels)
    if boundary is not None:
        scores |= boundary.scores(split)
        per_image = per_image.merge(boundary.per_image(), on="sample_id", how="left")
    if confidence is not None:
        scores |= confidence.scores(split)
        tables["reliability"] = confidence.reliability()
        tables["risk_coverage"] = confidence.risk_coverage()
    if slices is not None:
        tables["slices"] = score_slices(per_image, slices, manifest, labels, suite.intervals)
    return SuiteResult(replace(result, scores=scores, per_image=per_image), tables)


def run_corruptions(
    cfg: DictConfig, scorer: Scorer, clean: EvalResult, console: Console
) -> pd.DataFrame:
    """Score the split again under each corruption and severity.

    Returns:
        One row each, the clean one first: corruption, severity (0: none), miou, dice, relative
        (to the clean mIoU).
    """
    wanted = list(cfg.suite.corruptions)
    names = list(CORRUPTIONS) if "all" in wanted else wanted
    split, base = clean.split, clean.scores[metric_key(clean.split, MIOU)]
    rows = [_row("none", 0, clean, base)]
    for name in names:
        for severity in cfg.suite.severities:
            apply = _corruption(name, severity, scorer.datamodule.bands)
            result = scorer.score(split, corrupt=apply)
            rows.append(_row(name, severity, result, base))
        kept = float(rows[-1]["relative"])  # type: ignore[arg-type]
        share = "- (undefined)" if math.isnan(kept) else f"{kept:.0%}"
        say(console, f"{name}: severity {severity} keeps {share} of the mIoU")
    return pd.DataFrame(rows)


def _corruption(
    name: str, severity: int, bands: Bands | None
) -> Callable[[Tensor, Sequence[str]], Tensor]:
    return lambda images, sample_ids: corrupt(images, name, severity, _SEED, sample_ids, bands)


def _row(name: str, severity: int, result: EvalResult, base: float) -> dict[str, object]:
    miou = result.scores[metric_key(result.split, MIOU)]
    return {
        "corruption": name,
        "severity": severity,
        "miou": miou,
        "dice": result.scores[metric_key(result.split, DICE)],
        "relative": miou / base if base else math.nan,
    }


def write_suite_tables(run_dir: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Write each table as `<name>.parquet`."""
    for name, table in tables.items():
        with atomic_path(run_dir / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def draw_suite(record: RunRecord, tables: dict[str, pd.DataFrame]) -> dict[str, Path]:
    """Draw the tables that have a figure into the record; return the files by name."""
    drawers: dict[str, Callable[[Path], Figure]] = {
        "reliability": reliability,
        "slices": slices_figure,
        "corruptions": corruptions_figure,
    }
    paths = {}
    for name in drawers.keys() & tables.keys():
        paths[name] = record.figures_dir / f"{name}.png"
        save_figure(drawers[name](record.run_dir), paths[name])
    return paths
