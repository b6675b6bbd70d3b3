"""The failure gallery of a notebook: a widget where there is one, else a figure of the worst cases."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from seglab.analysis.failures.cases import Case, FailureGallery
from seglab.analysis.run_sources import RunLike
from seglab.analysis.style import MUTED, bare, new_figure, styled
from seglab.core.errors import DataError

_PANEL_WIDTH = 2.7


def gallery(
    run: RunLike,
    other: RunLike | None = None,
    *,
    static: bool = False,
    opacity: float = 0.6,
    count: int = 5,
    **filters: Any,
) -> Any:
    """Return the failure gallery of an evaluation, or of two with the same images side by side.

    Args:
        run: An evaluation.
        other: A second one, of another run on the same data.
        static: A figure even where ipywidgets is installed.
        opacity: Of masks over the image at first, 0..1.
        count: Cases in the static figure.
        **filters: `class_name`, `error_type`, `reason`, `shared`; see `FailureGallery.select`.

    Returns:
        A widget with filters, a slider through the cases and one for the opacity; a static figure
        of the worst cases where ipywidgets is not installed or not wanted.

    Raises:
        RunNotFoundError: A run has no gallery.
        DataError: A filter names something no case has.
    """
    content = FailureGallery([run] if other is None else [run, other])
    if not static:
        try:
            from seglab.analysis.failures.widget import GalleryWidget
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "ipywidgets":
                raise
        else:
            return GalleryWidget(content, opacity, filters)
    return gallery_figure(content, content.select(**filters)[:count], opacity)


def gallery_figure(content: FailureGallery, cases: Sequence[Case], opacity: float = 0.6) -> Figure:
    """Draw cases below each other: image, truth, predictions and confidence.

    Raises:
        DataError: There is no case.
    """
    if not cases:
        raise DataError("no case of the gallery fits; loosen the filters")
    rows = [content.panels(case, opacity, confidence=True) for case in cases]
    columns = max(len(row) for row in rows)
    height, width = rows[0][0].picture.shape[:2]
    row_height = _PANEL_WIDTH * height / width + 0.52
    with styled():
        figure = new_figure(_PANEL_WIDTH * columns, row_height * len(rows) + 0.2, "compressed")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes_row, panels in zip(grid, rows, strict=True):
            for axes in axes_row:
                bare(axes)
            for axes, panel in zip(axes_row, panels, strict=False):
                axes.imshow(panel.picture, interpolation="nearest")
                axes.set_title(_shorten(panel.title, 34), fontsize=8, fontweight="bold")
                axes.set_xlabel(_wrap(panel.note), fontsize=7, color=MUTED, loc="left")
    return figure


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _wrap(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 50, max_lines=2, placeholder=" ..."))
