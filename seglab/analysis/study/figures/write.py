"""All figures of a study into its folder: for print and for pages, what cannot be drawn left out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from seglab.analysis.study.figures.interactive import (
    history_page,
    importance_page,
    intermediate_page,
    pareto_page,
    timeline_page,
)
from seglab.analysis.study.figures.interactive_parameters import (
    contour_page,
    parallel_page,
    slice_page,
)
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
from seglab.core.files import write_text
from seglab.runs.study import StudyFolder

if TYPE_CHECKING:
    import plotly.graph_objects as go

log = logging.getLogger(__name__)

PLOTLY_JS = "plotly.min.js"
_HINTS = {
    "pareto": "No trial is better in one objective than a trial of the front without being worse in "
    "another.",
    "history": "The line is the best so far. Where it has been flat for long, more trials of the same "
    "kind will hardly help.",
    "importance": "Bars that differ by less than their thin lines are not told apart by these trials.",
    "parallel": "Follow the dark lines: where they gather on an axis, that value goes with good scores.",
    "contour": "The ground is a smooth fit through the finished trials, white where none is near; trust "
    "the dots more. A best trial at the edge says that the range was too narrow.",
    "slice": "A parameter that matters makes a slope or a hill; one that does not, a cloud.",
    "intermediate": "Curves that cross late were judged by a pruner too early.",
    "timeline": "White between the bars of a worker is idle time; right of the dotted line there was "
    "nothing left to start.",
}


@dataclass(frozen=True)
class Drawing:
    """One figure of a study.

    Attributes:
        name: Of its files, without the ending.
        title: For lists.
        hint: How to read it, in a sentence or two.
        figure: Draws it for print.
        page: Draws it for a page.
    """

    name: str
    title: str
    hint: str
    figure: Callable[[StudyView], Figure]
    page: Callable[[StudyView], go.Figure]


def drawings(view: StudyView) -> Iterator[Drawing]:
    """Yield the figures of a study, in the order in which one reads them.

    With several objectives those of a score come once an objective, its name in theirs.
    """
    several = len(view.objectives) > 1
    if several:
        yield Drawing("pareto", "Pareto front", _HINTS["pareto"], pareto_figure, pareto_page)
    for place, goal in enumerate(view.objectives):
        end = f"-{goal.metric.replace('/', '-')}" if several else ""
        of = f" of {goal.metric}" if several else ""
        for name, title, figure, page in (
            ("history", "Every trial", history_figure, history_page),
            ("importance", "Importance of the parameters", importance_figure, importance_page),
            ("parallel", "Parallel coordinates", parallel_figure, parallel_page),
            ("contour", "Pairs of parameters", contour_figure, contour_page),
            ("slice", "One parameter at a time", slice_figure, slice_page),
        ):
            yield Drawing(
                f"{name}{end}",
                f"{title}{of}",
                _HINTS[name],
                functools.partial(figure, objective=place),
                functools.partial(page, objective=place),
            )
    if not several:
        yield Drawing(
            "intermediate",
            "On the way",
            _HINTS["intermediate"],
            intermediate_figure,
            intermediate_page,
        )
    yield Drawing(
        "timeline", "Timeline of the workers", _HINTS["timeline"], timeline_figure, timeline_page
    )


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


def _write_png(drawing: Drawing, view: StudyView, path: Path) -> None:
    save_figure(drawing.figure(view), path)


def _write_html(drawing: Drawing, view: StudyView, path: Path) -> None:
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
