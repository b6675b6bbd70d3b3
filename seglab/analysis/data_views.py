"""What a data set is made of, read from the Parquet file of its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglab.analysis.style import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PINK,
    bare,
    log_scale,
    new_figure,
    styled,
)
from seglab.core.errors import DataNotFoundError
from seglab.core.labels import LabelSpace

_TABLE, _COMPANION = "manifest.parquet", "manifest.yaml"
_COLOURS = {"train": BLUE, "val": ORANGE, "test": GREEN, "unlabeled": MUTED}
_MAX_TAGS = 20


def read_manifest(manifest: str | Path) -> tuple[pd.DataFrame, LabelSpace]:
    """Return the table and the label space of a manifest.

    Args:
        manifest: Its folder or its Parquet file, such as `RUN_DIR/manifest`. Rows that an audit
            sorted out (`keep` is false) are left out.

    Raises:
        DataNotFoundError: There is no manifest.
    """
    path = Path(manifest).expanduser()
    folder = path.parent if path.suffix == ".parquet" else path
    table, companion = folder / _TABLE, folder / _COMPANION
    missing = [file.name for file in (table, companion) if not file.is_file()]
    if missing:
        raise DataNotFoundError(
            f"expected a folder with {_TABLE} and {_COMPANION}, {folder} lacks {', '.join(missing)}"
        )
    frame = pd.read_parquet(table)
    labels = yaml.safe_load(companion.read_text(encoding="utf-8"))["labels"]
    return frame[frame["keep"]].reset_index(drop=True), LabelSpace.from_dict(labels)


def class_shares(manifest: str | Path) -> pd.DataFrame:
    """Return how often each class occurs in each split.

    Returns:
        One row per split and class: split, class, pixels, share (of the split's labelled pixels that
        are not ignored, 0..1), images (that show it), image_share (of the labelled images).
    """
    frame, labels = read_manifest(manifest)
    columns = ["split", "class", "pixels", "share", "images", "image_share"]
    rows: list[tuple[object, ...]] = []
    for split, part in frame.groupby("split", sort=False):
        counted = part[part["class_pixels"].notna()]
        if counted.empty:
            continue
        counts = np.array([list(row) for row in counted["class_pixels"]], dtype=np.int64)
        # The column after the classes counts ignored pixels.
        counts = counts[:, : labels.num_classes]
        total = max(1, int(counts.sum()))
        for index, name in enumerate(labels.class_names):
            pixels, shown = int(counts[:, index].sum()), int((counts[:, index] > 0).sum())
            rows.append((str(split), name, pixels, pixels / total, shown, shown / len(counts)))
    return pd.DataFrame(rows, columns=columns)


def tag_counts(manifest: str | Path) -> pd.DataFrame:
    """Return how many images of each split carry each tag; the most frequent tag first."""
    frame, _ = read_manifest(manifest)
    exploded = frame.explode("tags").dropna(subset=["tags"])
    if exploded.empty:
        return pd.DataFrame()
    table = pd.crosstab(exploded["tags"], exploded["split"])
    splits = [name for name in _COLOURS if name in table]
    return table[splits].loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def data_overview(manifest: str | Path, title: str = "") -> Figure:
    """Draw what a data set is made of: images per split, pixels per class, images per class, tags.

    Classes whose share differs much between splits, or that few images show, are what to look at:
    their scores will be noisy.

    Args:
        manifest: Folder of the manifest.
        title: Above; the folder by default.
    """
    frame, labels = read_manifest(manifest)
    shares, tags = class_shares(manifest), tag_counts(manifest).head(_MAX_TAGS)
    rows = max(labels.num_classes, len(tags), 4)
    with styled():
        figure = new_figure(12.0, 1.5 + 0.27 * rows)
        panels = figure.subplots(1, 4, width_ratios=[0.7, 1.3, 1.3, 1.0])
        images, pixels, shown, tagged = panels
        for axes in panels:
            # Bars cover the grid, not the grid the bars.
            axes.set_axisbelow(True)
        _draw_images(images, frame)
        _draw_classes(pixels, shares, "share", "Share of pixels (log)")
        _draw_classes(shown, shares, "image_share", "Share of images showing it")
        log_scale(pixels.xaxis)
        shown.set_xlim(0, 1)
        shown.set_yticklabels([])
        _draw_tags(tagged, tags)
        handles, names = pixels.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=4)
        figure.suptitle(title or str(manifest), x=0.01, ha="left", fontsize=11)
    return figure


def _draw_images(axes: Axes, frame: pd.DataFrame) -> None:
    splits = [name for name in _COLOURS if (frame["split"] == name).any()]
    counts = [int((frame["split"] == name).sum()) for name in splits]
    bars = axes.bar(splits, counts, color=[_COLOURS[name] for name in splits], width=0.7)
    groups = [int(frame.loc[frame["split"] == name, "group"].nunique()) for name in splits]
    labels = [f"{count}\n({group} groups)" for count, group in zip(counts, groups, strict=True)]
    axes.bar_label(bars, labels, fontsize=7, padding=2)
    axes.margins(y=0.2)
    axes.grid(visible=False, axis="x")
    axes.set_title("Images", fontweight="bold")


def _draw_classes(axes: Axes, shares: pd.DataFrame, column: str, title: str) -> None:
    names = list(dict.fromkeys(shares["class"]))
    splits = [name for name in _COLOURS if (shares["split"] == name).any()]
    height = 0.8 / max(1, len(splits))
    places = np.arange(len(names), dtype=float)[::-1]
    for number, split in enumerate(splits):
        values = shares[shares["split"] == split].set_index("class")[column].reindex(names)
        at = places + 0.4 - (number + 0.5) * height
        axes.barh(at, values, height=height * 0.9, color=_COLOURS[split], label=split)
    axes.set_yticks(places, names)
    axes.grid(visible=False, axis="y")
    axes.set_title(title, fontweight="bold")


def _draw_tags(axes: Axes, tags: pd.DataFrame) -> None:
    axes.set_title("Images with a tag", fontweight="bold")
    if tags.empty:
        bare(axes, "no tags")
        return
    places = np.arange(len(tags), dtype=float)[::-1]
    left = np.zeros(len(tags))
    for split in tags.columns:
        values = tags[split].to_numpy(float)
        axes.barh(places, values, left=left, height=0.7, color=_COLOURS.get(str(split), PINK))
        left += values
    axes.set_yticks(places, [str(name) for name in tags.index])
    axes.grid(visible=False, axis="y")
