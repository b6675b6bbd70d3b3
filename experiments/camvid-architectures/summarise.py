"""Turns the records of the study into its table, its figure and its verdicts.

Usage: python experiments/camvid-architectures/summarise.py RUNS_DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from seglab.analysis.style import BLUE, GREEN, ORANGE, new_figure, save_figure, styled
from seglab.analysis.tables import frame_rows, markdown_table
from seglab.runs import RunRecord, find_runs
from seglab.runs.folds import fold_dirs

HERE = Path(__file__).parent
SCHEMES = {"block": "blocks with a gap", "grouped": "whole drives", "kfold": "random"}
COLOURS = {"block": BLUE, "grouped": ORANGE, "kfold": GREEN}


def read_study(runs_dir: Path) -> pd.DataFrame:
    """Return one row a cross-validation: model, scheme, scores with interval, hours, parameters."""
    rows = []
    for folder in find_runs(runs_dir):
        record = RunRecord(folder)
        content = record.read()
        if content["kind"] != "cv" or content["status"] != "finished":
            continue
        metrics, config = record.metrics, content["config"]
        folds = pd.read_parquet(folder / "fold_scores.parquet")
        params = RunRecord(fold_dirs(folder)[0]).metrics["cost/params_m"]
        rows.append(
            {
                "model": config["model"].get("arch", "segnet_basic"),
                "scheme": config["cv"]["scheme"],
                "folds": len(folds),
                "mIoU": metrics["val/miou"],
                "std": metrics["val/miou_std"],
                "low": metrics["val/miou_low"],
                "high": metrics["val/miou_high"],
                "pooled": metrics["val/miou_pooled"],
                "params M": params,
                "minutes": content["wall_time_s"] / 60,
            }
        )
    return pd.DataFrame(rows)


def add_gap(table: pd.DataFrame) -> pd.DataFrame:
    """Add by how much random folds score above each scheme, model by model."""
    random = table[table["scheme"] == "kfold"].set_index("model")["mIoU"]
    table["random flatters by"] = table["model"].map(random) - table["mIoU"]
    order = {scheme: place for place, scheme in enumerate(SCHEMES)}
    table = table.assign(_order=table["scheme"].map(order))
    best = table[table["scheme"] == "block"].set_index("model")["mIoU"]
    table["_best"] = -table["model"].map(best)
    return table.sort_values(["_best", "_order"]).drop(columns=["_best", "_order"])


def draw(table: pd.DataFrame) -> None:
    """Draw mean and interval of each model under each scheme."""
    models = list(dict.fromkeys(table["model"]))
    with styled():
        figure = new_figure(7.0, 3.2)
        axes = figure.add_subplot()
        for shift, (scheme, label) in zip((-0.2, 0.0, 0.2), SCHEMES.items(), strict=True):
            own = table[table["scheme"] == scheme].set_index("model").reindex(models)
            places = np.arange(len(models)) + shift
            errors = np.stack([own["mIoU"] - own["low"], own["high"] - own["mIoU"]])
            axes.errorbar(
                places,
                own["mIoU"],
                yerr=errors,
                fmt="o",
                capsize=3,
                color=COLOURS[scheme],
                label=label,
            )
        axes.set_xticks(range(len(models)), models)
        axes.set_ylabel("held-out mIoU, mean of folds")
        axes.set_title("Random folds flatter: mean and 95 % interval by how the folds are cut")
        axes.legend(title="folds")
    save_figure(figure, HERE / "gap.png")


def main() -> int:
    """Write results.csv, results.md and gap.png beside this file."""
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    table = add_gap(read_study(Path(sys.argv[1])))
    table.round(4).to_csv(HERE / "results.csv", index=False)
    (HERE / "results.md").write_text(markdown_table(frame_rows(table)), encoding="utf-8")
    draw(table)
    print(markdown_table(frame_rows(table)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
