"""All figures of a study into its folder: for print and for pages, what cannot be drawn left out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from itertools import groupby
from pathlib import Path

from seglab.analysis.study.figures.figure import StudyFigure
from seglab.analysis.study.figures.parallel import parallel_figure
from seglab.analysis.study.figures.parameter_figures import (
    contour_figure,
    importance_figure,
    slice_figure,
)
from seglab.analysis.study.figures.progress_figures import (
    history_figure,
    intermediate_figure,
    pareto_figure,
)
from seglab.analysis.study.figures.timeline import timeline_figure
from seglab.analysis.study.load import StudyView, as_folder, read_study
from seglab.analysis.study.marks import NotDrawableError
from seglab.analysis.style import save_figure
from seglab.core.disk.files import write_text
from seglab.runs.studies.study import StudyFolder

log = logging.getLogger(__name__)

PLOTLY_JS = "plotly.min.js"
# In the order in which one reads them; a new figure of a study is declared by `study_figure` and here.
FIGURES: tuple[StudyFigure, ...] = (
    pareto_figure,
    history_figure,
    importance_figure,
    parallel_figure,
    contour_figure,
    slice_figure,
    intermediate_figure,
    timeline_figure,
)


def drawings(view: StudyView) -> Iterator[StudyFigure]:
    """Yield the figures of a study, in the order in which one reads them.

    With several objectives those of a score come once an objective, its name in theirs.
    """
    several = len(view.objectives) > 1
    for of, group in groupby(FIGURES, lambda figure: figure.of):
        figures = list(group)
        if of in ("all", "several" if several else "one"):
            yield from figures
        for place, goal in enumerate(view.objectives if of == "each" else ()):
            end = f"-{goal.metric.replace('/', '-')}" if several else ""
            about = f" of {goal.metric}" if several else ""
            for figure in figures:
                chart = functools.partial(figure.chart, objective=place)
                name, title = f"{figure.name}{end}", f"{figure.title}{about}"
                yield replace(figure, name=name, title=title, chart=chart)


def write_figures(folder: StudyFolder | str | Path) -> list[Path]:
    """Write each figure as PNG and as HTML into `figures/` of the study.

    The pages need no network: they share one `plotly.min.js` beside them, so the folder is moved as
    a whole. A figure that the study has too little for is left out, with the reason in the log; so
    is one that fails, because figures must not spoil the end of a study.

    Returns:
        The files written, PNG and HTML, without the script.
    """
    folder = as_folder(folder)
    view = read_study(folder)
    written: list[Path] = []
    for drawing in drawings(view):
        stem = folder.figures_dir / drawing.name
        for path, draw in (
            (stem.with_name(f"{stem.name}.png"), _write_png),
            (stem.with_name(f"{stem.name}.html"), _write_html),
        ):
            try:
                draw(drawing, view, path)
            except NotDrawableError as reason:
                log.info("%s is left out: %s", path.name, reason)
                break
            except Exception:
                # Hours of training must not end in an error of a figure.
                log.warning("%s is left out, it could not be drawn", path.name, exc_info=True)
                continue
            written.append(path)
    return written


def _write_png(drawing: StudyFigure, view: StudyView, path: Path) -> None:
    save_figure(drawing(view), path)


def _write_html(drawing: StudyFigure, view: StudyView, path: Path) -> None:
    page = drawing.page(view)
    _write_script(path.parent)
    config = {"displaylogo": False, "responsive": True}
    html = page.to_html(include_plotlyjs=PLOTLY_JS, config=config, default_height="100vh")
    head = '<head><meta name="viewport" content="width=device-width"><style>body{margin:0}</style>'
    write_text(path, html.replace("<head>", f"{head}<title>{escape(drawing.title)}</title>", 1))


def _write_script(folder: Path) -> None:
    """Put plotly's script beside the pages, once: it weighs five megabytes."""
    from plotly.offline import get_plotlyjs

    path = folder / PLOTLY_JS
    script = get_plotlyjs()
    if not path.is_file() or path.stat().st_size != len(script.encode("utf-8")):
        write_text(path, script)
