"""Turns the study and its confirmation into the tables, the figure and the verdicts of README.md.

Usage: python experiments/camvid-lr-batch/summarise.py STUDY_DIR DEFAULT_RUN [DEFAULT_RUN ...]

Writes `trials.csv`, with every trial's score after the second epoch, and `rates.png` beside itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from seglab.analysis.study import StudyView, importance_table, read_study, study_summary
from seglab.analysis.style import BLUE, GREEN, ORANGE, new_figure, save_figure, styled
from seglab.runs import RunRecord, find_runs
from seglab.sweep.conclude.protocol import mean_interval

HERE = Path(__file__).parent
RATE, BATCH, LOSS = "params.optimizer.lr", "params.data.batch_size", "params.loss"
LOSSES = {"ce": BLUE, "ce_dice": ORANGE, "ce_lovasz": GREEN}
EARLY = 1  # the second epoch: the last that Hyperband lets every trial reach
EARLY_SCORE = "miou_after_2_epochs"
_KEPT = [
    "number",
    "state",
    "val/miou",
    RATE,
    BATCH,
    LOSS,
    EARLY_SCORE,
    "last_step",
    "duration_s",
    "worker",
]
# Centres, so that the coefficients speak of a usual setting: log2 of lr 2e-3 and of batch 8.
RATE_AT, BATCH_AT = np.log2(2e-3), 3.0


def with_early_scores(view: StudyView) -> pd.DataFrame:
    """Return the trials with their val mIoU after the second epoch."""
    by_number = {trial.number: trial.intermediate_values for trial in view.frozen}
    trials = view.trials.copy()
    trials[EARLY_SCORE] = [by_number[number].get(EARLY, np.nan) for number in trials["number"]]
    return trials


def fit(trials: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients of the score after two epochs, with 95 % intervals (least squares).

    The learning rate and the batch count in doublings from 2e-3 and 8; losses against `ce`.
    """
    rows = trials.dropna(subset=[EARLY_SCORE])
    rate = np.log2(rows[RATE].astype(float)) - RATE_AT
    batch = np.log2(rows[BATCH].astype(float)) - BATCH_AT
    columns = {
        "constant": np.ones(len(rows)),
        "rate": rate,
        "rate squared": rate**2,
        "batch": batch,
        "rate x batch": rate * batch,
        "ce_dice": rows[LOSS] == "ce_dice",
        "ce_lovasz": rows[LOSS] == "ce_lovasz",
    }
    design = np.column_stack([np.asarray(column, dtype=float) for column in columns.values()])
    score = rows[EARLY_SCORE].to_numpy(dtype=float)
    found, *_ = np.linalg.lstsq(design, score, rcond=None)
    freedom = len(rows) - design.shape[1]
    residual = score - design @ found
    covariance = np.linalg.inv(design.T @ design) * (residual @ residual) / freedom
    half = stats.t.ppf(0.975, freedom) * np.sqrt(np.diag(covariance))
    explained = 1 - residual @ residual / np.sum((score - score.mean()) ** 2)
    table = pd.DataFrame(
        {"coefficient": found, "low": found - half, "high": found + half}, index=list(columns)
    )
    table.attrs = {"trials": len(rows), "explained": float(explained)}
    return table


def scores_of(folders: Sequence[Path]) -> list[float]:
    """Return the val mIoU of finished trainings."""
    return [float(RunRecord(folder).metrics["val/miou"]) for folder in folders]


def draw(trials: pd.DataFrame, path: Path) -> None:
    """Draw the score after two epochs by learning rate, a panel a batch size, a colour a loss."""
    batches = sorted(trials[BATCH].dropna().unique(), key=float)
    with styled():
        figure = new_figure(2.6 * len(batches), 3.0)
        axes = figure.subplots(1, len(batches), sharex=True, sharey=True, squeeze=False)[0]
        for axis, batch in zip(axes, batches, strict=True):
            for loss, colour in LOSSES.items():
                rows = trials[(trials[BATCH] == batch) & (trials[LOSS] == loss)]
                axis.scatter(rows[RATE].astype(float), rows[EARLY_SCORE], 22, colour, label=loss)
            axis.set_xscale("log")
            axis.set_title(f"batch {batch}")
            axis.set_xlabel("learning rate")
        axes[0].set_ylabel("val mIoU after two epochs")
        axes[0].legend(title="loss")
    save_figure(figure, path)


def main(study: Path, defaults: Sequence[Path]) -> None:
    """Print everything that README.md tells, and write what it shows."""
    view = read_study(study)
    trials = with_early_scores(view)
    trials[_KEPT].to_csv(HERE / "trials.csv", index=False, float_format="%.5g")
    draw(trials, HERE / "rates.png")
    print(study_summary(view), "\n")
    table = fit(trials)
    print(f"{table.attrs['trials']} trials, share explained {table.attrs['explained']:.2f}")
    print(table.round(4).to_string(), "\n")
    peak = -table.loc["rate", "coefficient"] / (2 * table.loc["rate squared", "coefficient"])
    print(f"best learning rate at batch 8 by the fit: {2 ** (RATE_AT + peak):.2e}\n")
    print(importance_table(view).round(3).to_string(), "\n")
    for name, folders in (("winner", find_runs(study / "confirm")), ("default", list(defaults))):
        scores = scores_of(folders)
        mean, low, high = mean_interval(scores)
        print(f"{name}: {mean:.4f} [{low:.4f}, {high:.4f}] of {[round(one, 4) for one in scores]}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]])
