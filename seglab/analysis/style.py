"""One look for all figures: colours a colour-blind reader can tell apart, fonts for print.

Figures are made with matplotlib's objects and never with pyplot, whose global state leaks memory in
long runs and is not safe in threads.

References:
    Okabe and Ito (2008): https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from seglab.core.disk.files import atomic_path
from seglab.core.errors import ConfigError

# Okabe and Ito (2008), "Color universal design": told apart with every kind of colour blindness.
BLUE, ORANGE, GREEN, PINK, SKY, YELLOW = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
)
# For things that are many, in this order.
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, YELLOW)
INK, MUTED, PALE = "#222222", "#6b6b6b", "#dddddd"

_KINDS = ("png", "pdf", "svg", "jpg")

Layout = Literal["constrained", "compressed"] | None
# Keyword arguments of a drawing function of matplotlib.
Look = dict[str, Any]

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # Names of classes and values of parameters are no formulas, whatever stands between dollars.
    "text.parse_math": False,
}


def new_figure(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """Return an empty figure of so many inches that draws without a screen.

    The layout is matplotlib's: constrained keeps labels apart, compressed does so around axes of
    fixed aspect, None leaves places to the caller.
    """
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def styled() -> Any:
    """Return a context in which figures get the look; also needed while saving."""
    return mpl.rc_context(STYLE)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Write a figure in one step; the suffix says as what. Returns the path.

    Raises:
        ConfigError: There is no such kind of figure.
    """
    if path.suffix.lstrip(".").lower() not in _KINDS:
        raise ConfigError(f"expected a figure ending in .{', .'.join(_KINDS)}, got '{path}'")
    with styled(), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format=path.suffix.lstrip(".").lower())
    return path


def log_scale(axis: Axis) -> None:
    """Make an axis logarithmic, its numbers written without a formula: 0.001 rather than 10^-3."""
    (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend_label(name: str) -> str:
    """Return a name for a legend: matplotlib leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def bare(axes: Axes, message: str = "") -> None:
    """Take away ticks, frame and grid, as around images; `message` stands in the middle."""
    axes.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
