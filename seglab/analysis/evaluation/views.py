"""What notebooks ask of one or two runs in one call: confusions, single images.

Each function takes a run as a folder, a record or a row of `load_runs`, and returns a figure that
Jupyter shows or a table; nothing is written.
"""

from __future__ import annotations

from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from seglab.analysis.evaluation.class_scores import mixups
from seglab.analysis.evaluation.figures import confusion_figure
from seglab.analysis.run_sources import RunLike, labels_of, open_run, run_title
from seglab.analysis.style import BLUE, MUTED, new_figure, styled
from seglab.core.errors import DataError

Normalise = Literal["target", "prediction"]


def confusion(
    run: RunLike, split: str | None = None, normalise: Normalise = "target", title: str = ""
) -> Figure:
    """Draw the confusion matrix of a run.

    Args:
        run: Training, fold, evaluation, or a cross-validation (its folds pooled, out of fold).
        split: val or test; the run's main one by default.
        normalise: `target`: each row is where the pixels of a class went, the diagonal is recall.
            `prediction`: each row is what the pixels predicted as a class were, the diagonal is
            precision.
        title: Above the matrix; run and split by default.

    Raises:
        DataError: The run has no such split, or no classes are kept with it.
    """
    if normalise not in ("target", "prediction"):
        raise DataError(f"normalise must be target or prediction, got {normalise!r}")
    record = open_run(run)
    split = split or str(record.read()["main_split"])
    matrix = record.confusion(split)
    title = title or f"{run_title(record)}, {split}"
    names = labels_of(record).class_names
    if normalise == "target":
        return confusion_figure(matrix, names, title)
    figure = confusion_figure(matrix.T, names, title)
    axes, bar = figure.axes[0], figure.axes[1]
    axes.set(ylabel="prediction", xlabel="target")
    bar.set_ylabel("% of the pixels predicted so")
    for text in axes.texts:
        text.set_text(text.get_text().replace("does not occur in the target", "is never predicted"))
    return figure


def confused_pairs(run: RunLike, split: str | None = None, count: int = 10) -> pd.DataFrame:
    """Return the largest confusions of a run, one row a pair of classes.

    Returns:
        Columns target, prediction, pixels, share_of_target and share_of_prediction (0..1), and
        share_of_errors; most pixels first. Right pixels and empty cells are left out.
    """
    record = open_run(run)
    return mixups(record.confusion(split), labels_of(record).class_names, count)


def paired_images(run: RunLike, other: RunLike, split: str | None = None) -> pd.DataFrame:
    """Return the images that two runs scored, those on which the second is better by most first.

    Args:
        run: A run with scores of single images.
        other: Another.
        split: val or test; the first run's main one by default.

    Returns:
        Columns sample_id, miou (of the first), miou_other and gain (first minus other).

    Raises:
        DataError: A run kept no scores of single images, or there is no image in common.
    """
    first, second = open_run(run), open_run(other)
    split = split or str(first.read()["main_split"])
    own, others = (
        frame.loc[frame["split"] == split, ["sample_id", "miou"]]
        for frame in (first.per_image(), second.per_image())
    )
    pair = own.merge(others, on="sample_id", suffixes=("", "_other"))
    if pair.empty:
        raise DataError(
            f"{first.run_id} and {second.run_id} scored no image of the split {split} in common; "
            "evaluate both on the same data"
        )
    gain = pair["miou"] - pair["miou_other"]
    return pair.assign(gain=gain).sort_values("gain", kind="stable").reset_index(drop=True)


def image_by_image(run: RunLike, other: RunLike, split: str | None = None) -> Figure:
    """Draw the mIoU of each image under two runs against each other; see `paired_images`."""
    pair = paired_images(run, other, split)
    better = float((pair["gain"] > 0).mean())
    with styled():
        figure = new_figure(4.6, 4.6)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=":")
        axes.scatter(pair["miou_other"], pair["miou"], s=16, color=BLUE, alpha=0.65, linewidth=0)
        axes.set(xlim=(0, 1), xlabel=f"mIoU of an image: {run_title(open_run(other))}")
        axes.set(ylim=(0, 1), ylabel=run_title(open_run(run)))
        title = f"{len(pair)} images, {better:.0%} of them better than with the other"
        axes.set_title(title, fontweight="bold", fontsize=9)
    return figure
