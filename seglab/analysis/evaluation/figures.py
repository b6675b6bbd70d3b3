"""Figures of predictions: samples side by side, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from seglab.analysis.overlays import blend, colour_mask, error_map, fit_image
from seglab.analysis.style import INK, MUTED, ORANGE, Look, bare, legend_label, new_figure, styled
from seglab.core.errors import ShapeError
from seglab.core.labels import LabelSpace
from seglab.core.text.escape import one_line
from seglab.runs import SamplePrediction

_COLUMNS = ("image", "target", "prediction", "errors")
# Inches.
_PANEL_WIDTH, _TITLE_HEIGHT, _LABEL_HEIGHT = 2.6, 0.26, 0.24
_LEGEND_COLUMNS = 7
_LEGEND = {"handlelength": 1.3, "handleheight": 1.0, "columnspacing": 1.4, "borderaxespad": 0.2}
_ANNOTATE_UP_TO = 30


def samples_figure(
    samples: Sequence[SamplePrediction], labels: LabelSpace, overlay: bool = False
) -> Figure:
    """Draw image, target, prediction and errors of a few samples, one row each.

    Args:
        samples: One or more.
        labels: Names and palette; ignored pixels are hatched black in target and errors.
        overlay: Lay masks over the image instead of showing them alone.

    Returns:
        A figure with a legend of the classes that occur.

    Raises:
        ShapeError: There is no sample.
    """
    if not samples:
        raise ShapeError("expected at least one sample, got none")
    ratio = float(np.median([s.mask.shape[0] / s.mask.shape[1] for s in samples]))
    entries = _legend(samples, labels)
    row_height = _PANEL_WIDTH * ratio + _LABEL_HEIGHT
    below = 0.12 + 0.2 * -(-len(entries) // _LEGEND_COLUMNS)
    width, height = 4 * _PANEL_WIDTH, _TITLE_HEIGHT + len(samples) * row_height + below
    with styled():
        figure = new_figure(width, height, layout=None)
        panels = figure.subplots(len(samples), 4, squeeze=False)
        # Sizes in inches are known, so places are set rather than searched: nothing is clipped.
        figure.subplots_adjust(
            left=0.004,
            right=0.996,
            wspace=0.025,
            bottom=(below + _LABEL_HEIGHT) / height,
            top=1.0 - _TITLE_HEIGHT / height,
            hspace=_LABEL_HEIGHT / (row_height - _LABEL_HEIGHT),
        )
        for row, sample in zip(panels, samples, strict=True):
            _draw_sample(row, sample, labels, overlay)
        columns = (samples[0].shows or _COLUMNS[0], *_COLUMNS[1:])
        for axes, name in zip(panels[0], columns, strict=True):
            axes.set_title(name, fontweight="bold", loc="center")
        columns_used = min(_LEGEND_COLUMNS, len(entries))
        figure.legend(handles=entries, loc="lower center", ncols=columns_used, **_LEGEND)
    return figure


def _draw_sample(
    row: np.ndarray, sample: SamplePrediction, labels: LabelSpace, overlay: bool
) -> None:
    image = fit_image(sample.image, sample.mask.shape)
    if overlay:
        masks = [blend(image, mask, labels) for mask in (sample.mask, sample.prediction)]
    else:
        masks = [colour_mask(mask, labels) for mask in (sample.mask, sample.prediction)]
    pictures = [image, *masks, error_map(sample, labels.ignore_index)]
    for axes, picture in zip(row, pictures, strict=True):
        axes.imshow(picture, interpolation="nearest")
        bare(axes)
    valid = sample.mask != labels.ignore_index
    wrong = float((sample.mask != sample.prediction)[valid].mean()) if valid.any() else np.nan
    row[0].set_xlabel(_shorten(sample.sample_id), fontsize=8, color=MUTED, loc="left")
    message = "all pixels ignored" if np.isnan(wrong) else f"{wrong:.1%} of valid pixels wrong"
    row[3].set_xlabel(message, fontsize=8, color=MUTED, loc="right")


def _legend(samples: Sequence[SamplePrediction], labels: LabelSpace) -> list[Artist]:
    maps = [np.unique(part) for sample in samples for part in (sample.mask, sample.prediction)]
    present = np.unique(np.concatenate(maps))
    entries: list[Artist] = [
        _patch(_unit(labels.palette[index]), _shorten(one_line(labels.class_names[index]), 22))
        for index in present
        if index < labels.num_classes
    ]
    if labels.ignore_index in present:
        entries.append(_patch("black", "ignored", edgecolor="#777777", hatch="/////"))
    return [*entries, _patch(ORANGE, "wrong")]


def _patch(colour: Any, label: str, edgecolor: str = MUTED, hatch: str | None = None) -> Patch:
    look: Look = {"facecolor": colour, "edgecolor": edgecolor, "hatch": hatch, "linewidth": 0.4}
    return Patch(label=legend_label(label), **look)


def confusion_figure(confusion: np.ndarray, class_names: Sequence[str], title: str = "") -> Figure:
    """Draw a confusion matrix as shares of each target class, in percent.

    Args:
        confusion: Integer `(num_classes, num_classes)`, rows = target, columns = prediction.
        class_names: One per class.
        title: Above the matrix.

    Returns:
        A figure; the diagonal is the recall of each class. Rows of classes that do not occur in the
        target are grey. Numbers below 0.5 % are left out, all numbers beyond 30 classes.

    Raises:
        ShapeError: The matrix does not fit the names.
    """
    count = len(class_names)
    confusion = np.asarray(confusion)
    if confusion.shape != (count, count):
        raise ShapeError(f"expected a ({count}, {count}) matrix, got {confusion.shape}")
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, 100.0 * confusion / np.maximum(totals, 1), np.nan)
    names = [_shorten(one_line(name), 20) for name in class_names]
    side = min(14.0, 2.0 + max(0.34, 0.55 - 0.012 * count) * count)
    with styled():
        figure = new_figure(side + 1.3, side + 0.1, layout="compressed")
        axes = figure.subplots()
        colours = colormaps["Blues"].with_extremes(bad="#e6e6e6")
        drawn = axes.imshow(shares, cmap=colours, vmin=0.0, vmax=100.0)
        _label_classes(axes, names)
        if count <= _ANNOTATE_UP_TO:
            _write_shares(axes, shares, size=float(np.clip(10.5 - 0.16 * count, 5.0, 9.0)))
        bar = figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02)
        bar.set_label("% of the target's pixels")
        for spine in bar.ax.spines.values():
            spine.set_visible(False)
        if title:
            axes.set_title(title, fontweight="bold")
    return figure


def _label_classes(axes: Axes, names: Sequence[str]) -> None:
    size = float(np.clip(10.0 - 0.1 * len(names), 5.0, 9.0))
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set(xlabel="prediction", ylabel="target")
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_shares(axes: Axes, shares: np.ndarray, size: float) -> None:
    middle: Look = {"ha": "center", "va": "center", "fontsize": size}
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share) and share >= 0.5:
            colour = "white" if share > 55 else INK
            axes.text(column, row, f"{share:.0f}", color=colour, **middle)
    for row, known in enumerate(np.isfinite(shares).any(axis=1)):
        if not known:
            nothing = "does not occur in the target"
            axes.text(len(shares) / 2 - 0.5, row, nothing, color=MUTED, **middle)
            continue
        edge: Look = {"fill": False, "edgecolor": MUTED, "linewidth": 0.6}
        axes.add_patch(Rectangle((row - 0.5, row - 0.5), 1, 1, **edge))


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255.0, green / 255.0, blue / 255.0


def _shorten(text: str, length: int = 44) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
