"""By how much random folds flatter: the same training on folds at random, beside the grouped ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from seglab.core.text.terminal import say, say_heading
from seglab.experiment.prepare.resolved import resolved
from seglab.metrics.names import MIOU, metric_key
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE

_SHARED = ("folds", "splits", "workers")


def random_config(cfg: DictConfig) -> DictConfig:
    """Return the same training on as many folds at random."""
    content = resolved(cfg)
    shared = {key: content["cv"][key] for key in _SHARED}
    content["cv"] = {
        **shared,
        "scheme": "kfold",
        "repeats": content["cv"].get("repeats", 1),
        "fold": None,
        # Images of one scene on both sides are what is to be measured.
        "allow_leaks": True,
    }
    content["run_name"] = f"{content['run_name'] or 'leak report'} random folds"
    made = OmegaConf.create(content)
    assert isinstance(made, DictConfig)  # noqa: S101 - made from a mapping
    return made


def report_leak(
    cfg: DictConfig,
    record: RunRecord,
    console: Console,
    cross_validate: Callable[[DictConfig, Path, Console, str], object],
    resume_run: Callable[[Path, Console], object],
) -> dict[str, float]:
    """Train random folds too and tell the gap; a finished one from before is used again.

    Args:
        cfg: Configuration of the grouped cross-validation.
        record: Its record; the random one is kept in its `leak_report/`.
        console: Where the gap goes.
        cross_validate: Starts a cross-validation.
        resume_run: Resumes one.

    Returns:
        `leak/random_miou` and `leak/gap` (random minus grouped), also written to the record.
    """
    say_heading(console, "leak report: random folds")
    folder = record.run_dir / "leak_report" / f"{record.run_id}-random"
    if not (folder / RECORD_FILE).is_file():
        cross_validate(random_config(cfg), folder, console, record.run_id)
    elif RunRecord(folder).status != "finished":
        resume_run(folder, console)
    key = metric_key("val", MIOU)
    ours, random = record.metrics, RunRecord(folder).metrics
    gap = random[key] - ours[key]
    metrics = {"leak/random_miou": random[key], "leak/gap": gap}
    record.set_metrics(metrics)
    say(
        console,
        f"{key} {random[key]:.4f} +- {random[f'{key}_std']:.4f} on random folds, {ours[key]:.4f} +- "
        f"{ours[f'{key}_std']:.4f} on {cfg.cv.scheme} folds: random folds flatter by {gap:+.4f}",
    )
    return metrics
