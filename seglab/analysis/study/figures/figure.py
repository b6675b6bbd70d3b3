"""One figure of a study: declared once beside what it shows, drawn for print and as a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.figure import Figure

from seglab.analysis.study.figures.pages import describe, page_chart
from seglab.analysis.study.figures.printed import print_chart
from seglab.analysis.study.load import StudyView

if TYPE_CHECKING:
    import plotly.graph_objects as go

Studies = Literal["all", "one", "several", "each"]


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a study; called with a view it returns the printed one.

    Attributes:
        name: Of its files, without the ending.
        title: For lists.
        hint: How to read it, in a sentence or two.
        of: The studies it is for: all, those with one objective, with several, or all and then once
            for each objective.
        chart: From a view (and an objective, parameters) to what the back ends draw.
        printed: From a chart to matplotlib's figure.
        paged: From a chart and what is told of each trial to plotly's.
    """

    name: str
    title: str
    hint: str
    of: Studies
    chart: Callable[..., Any]
    printed: Callable[[Any], Figure] = field(default=print_chart)
    paged: Callable[..., Any] = field(default=page_chart)

    def __call__(self, view: StudyView, *which: Any, **more: Any) -> Figure:
        """Draw for print.

        Raises:
            NotDrawableError: The study has too little for it; the message says what.
        """
        return self.printed(self.chart(view, *which, **more))

    def page(self, view: StudyView, *which: Any, **more: Any) -> go.Figure:
        """Draw as a page to point at; raises as when called."""
        figure: go.Figure = self.paged(self.chart(view, *which, **more), describe(view))
        return figure


def study_figure(
    name: str, title: str, hint: str, of: Studies = "each", **backends: Callable[..., Any]
) -> Callable[[Callable[..., Any]], StudyFigure]:
    """Make a figure of a function from a view to a chart; see `StudyFigure`."""

    def make(chart: Callable[..., Any]) -> StudyFigure:
        figure = StudyFigure(name, title, hint, of, chart, **backends)
        object.__setattr__(figure, "__doc__", chart.__doc__)
        return figure

    return make
