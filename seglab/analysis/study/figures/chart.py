"""What a figure of a study shows, told once: printed by matplotlib, made a page by plotly.

Optuna's own figures (`optuna.visualization`, and its matplotlib back end) are not used: they leave out
pruned and failed trials, workers and the spread of importances, let one bad value flatten an axis, draw
a ground between categories that have no order, drop trials that lack a parameter, and printed their
labels lie over each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axis import Axis as PrintedAxis
from matplotlib.colors import Colormap, Normalize
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from seglab.analysis.study.load import StudyObjective
from seglab.analysis.study.marks import Floats, metric_label, value_limits
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.style import INK


@dataclass(frozen=True)
class Dots:
    """Marks of trials.

    Attributes:
        x: One per trial.
        y: Likewise.
        colour: Of all, or one value per trial, to be looked up in the shades of the chart.
        numbers: Of the trials, for what a page says of each.
        label: In the legend; none without one.
        shape: As matplotlib calls it.
        size: In points.
        hollow: A ring.
        above: What lies above what.
        names: Written beside the marks; empty: nothing.
    """

    x: npt.ArrayLike
    y: npt.ArrayLike
    colour: str | Floats
    numbers: npt.ArrayLike = ()
    label: str = ""
    shape: str = "o"
    size: float = 4.5
    hollow: bool = False
    above: int = 3
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Curve:
    """A line; `step` says on which side of a point it moves to the next, as matplotlib calls it."""

    x: npt.ArrayLike
    y: npt.ArrayLike
    colour: str = INK
    label: str = ""
    width: float = 1.3
    alpha: float = 1.0
    step: str = ""
    dashed: bool = False
    number: int | None = None
    above: int = 2


@dataclass(frozen=True)
class Bars:
    """Bars that lie: `ends` are those of a thin line over each, `hints` what a page adds for each."""

    rows: Floats
    start: Floats
    length: Floats
    colour: str
    label: str
    height: float
    ends: Floats | None = None
    names: Sequence[str] = ()
    numbers: npt.ArrayLike = ()
    hints: Sequence[str] = ()
    hatch: str | None = None
    ink: str = INK


@dataclass(frozen=True)
class Ground:
    """Values of the shades over a plane: `score` is `(y, x)`, NaN where nothing is known."""

    x: Floats
    y: Floats
    score: Floats


@dataclass(frozen=True)
class Gap:
    """A stretch of the x axis that is not to scale, and what it stands for."""

    begin: float
    end: float
    text: str


Layer = Dots | Curve | Bars | Ground | Gap


@dataclass(frozen=True)
class Axis:
    """One axis; without limits it takes those of what is drawn, without ticks whole numbers."""

    title: str
    limits: tuple[float, float] | None = None
    ticks: Sequence[tuple[float, str]] | None = None
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, scale: ParamScale) -> Axis:
        """Return the axis of a parameter."""
        return cls(scale.title, scale.ends(), scale.ticks(), log=scale.kind == "log")

    def dress(self, axis: PrintedAxis) -> None:
        """Give an axis of matplotlib this scale, its ends, its ticks and its name."""
        axes = axis.axes
        set_scale, set_limits = (
            (axes.set_xscale, axes.set_xlim)
            if axis is axes.xaxis
            else (axes.set_yscale, axes.set_ylim)
        )
        if self.log:
            set_scale("log")
            axis.set_minor_formatter(NullFormatter())
        if self.ticks is not None:
            axis.set_major_locator(FixedLocator([value for value, _ in self.ticks]))
            axis.set_ticklabels([text for _, text in self.ticks])
        elif self.whole:
            axis.set_major_locator(MaxNLocator(10, integer=True))
        if self.limits is not None:
            set_limits(*self.limits)
        axis.set_label_text(self.title)


@dataclass(frozen=True)
class Panel:
    """Layers over one pair of axes; `beside` is written at the right of rows."""

    x: Axis
    y: Axis
    layers: Sequence[Layer]
    beside: Sequence[tuple[float, str]] = ()
    rows: bool = False


@dataclass(frozen=True)
class Shades:
    """Colours of values; `beyond` says at which end values lie outside."""

    title: str
    low: float
    high: float
    colours: Colormap
    beyond: str = "neither"

    @classmethod
    def of(cls, values: Floats, goal: StudyObjective) -> Shades:
        """Return the colours of a score: dark is good, whichever way that lies."""
        low, high = value_limits(values, goal)
        outside = bool(((values < low) | (values > high)).any())
        return cls(
            metric_label(goal),
            low,
            high,
            mpl.colormaps["viridis_r" if goal.maximises else "viridis"],
            ("min" if goal.maximises else "max") if outside else "neither",
        )

    @property
    def norm(self) -> Normalize:
        """For matplotlib."""
        return Normalize(self.low, self.high)


@dataclass(frozen=True)
class Chart:
    """A whole figure.

    Attributes:
        title: Above the first panel.
        panels: In rows of `columns`.
        size: Width and height in inches, printed.
        columns: Panels in a row.
        shades: Of all coloured values.
        legend: Columns of the legend, of what the first panel shows; 0: none.
        shared: The panels have one y axis.
    """

    title: str
    panels: Sequence[Panel]
    size: tuple[float, float]
    columns: int = 1
    shades: Shades | None = None
    legend: int = 0
    shared: bool = field(default=False)


def outside(dots: Dots, limits: tuple[float, float]) -> list[Dots]:
    """Return marks with those beyond the limits moved to the edge, and rings around these."""
    x, y = np.asarray(dots.x, dtype=float), np.asarray(dots.y, dtype=float)
    inside = np.clip(y, *limits)
    beyond = y != inside
    moved = Dots(
        x, inside, dots.colour, dots.numbers, dots.label, dots.shape, dots.size, above=dots.above
    )
    if not beyond.any():
        return [moved]
    ring = Dots(
        x[beyond], inside[beyond], dots.colour, (), "beyond the axis", size=8, hollow=True, above=4
    )
    return [moved, ring]
