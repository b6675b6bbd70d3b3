"""What all figures of a study share: a mark for each state, colours of values, limits of axes.

References:
    Roberts (2018): https://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from seglab.analysis.study.load import StudyObjective, StudyView
from seglab.analysis.study.parameters import ParamScale
from seglab.analysis.study.summary import best_trials
from seglab.analysis.study.wording import short
from seglab.analysis.style import BLUE, ORANGE, SKY
from seglab.core.errors import DataError

# The state is told by form too, for readers who cannot tell colours and for grey paper.
COLOURS = {
    "finished": BLUE,
    "pruned": "#9a9a9a",
    "failed": ORANGE,
    "running": SKY,
    "lost": "#e8b79d",
}
MARKERS = {"finished": "o", "pruned": "v", "failed": "X", "running": "D"}
BEST = "#111111"

Floats = npt.NDArray[np.float64]


class NotDrawableError(DataError):
    """A study lacks what a figure needs; the message says what."""


def heading(view: StudyView, text: str) -> str:
    """Return the title of a figure: which study, and what is shown of it."""
    return f"{short(view.name, 28)}: {text}"


def metric_label(objective: StudyObjective) -> str:
    """Return the name of a score with the way to go, for an axis."""
    return f"{objective.metric} ({'higher' if objective.maximises else 'lower'} is better)"


def finished_values(view: StudyView, objective: int, least: int = 1) -> Floats:
    """Return the values of the finished trials in order of number.

    Raises:
        NotDrawableError: There are fewer than `least`.
    """
    goal = view.objectives[objective]
    values = view.finished(objective)[goal.metric].to_numpy(float)
    if len(values) < least:
        raise NotDrawableError(
            f"{len(values)} finished trials have a value of {goal.metric}, it needs {least}"
        )
    return np.asarray(values)


def value_limits(values: npt.ArrayLike, goal: StudyObjective) -> tuple[float, float]:
    """Return the ends of an axis of values that a few very bad ones do not stretch.

    The good end is the best value. The bad end is the worst one that is no further from the median
    than four times the distance of the quartiles, or twice that of the best.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)] * goal.sign
    if not array.size:
        return 0.0, 1.0
    low, middle, high = (float(q) for q in np.percentile(array, [25, 50, 75]))
    reach = max(4 * (high - low), 2 * (array.max() - middle))
    worst, best = float(array[array >= middle - reach].min()), float(array.max())
    pad = 0.06 * (best - worst) or max(abs(best) * 0.05, 1e-6)
    ends = sorted((goal.sign * (worst - pad), goal.sign * (best + pad)))
    return ends[0], ends[1]


def colour_scale(values: npt.ArrayLike, goal: StudyObjective) -> tuple[Colormap, Normalize]:
    """Return the colours of values: dark is good, whichever way that lies."""
    low, high = value_limits(values, goal)
    name = "viridis_r" if goal.maximises else "viridis"
    return mpl.colormaps[name], Normalize(low, high)


def colour_bar(
    figure: Figure, places: Sequence[Axes] | Axes, values: Floats, goal: StudyObjective
) -> None:
    """Draw the scale of colours beside axes."""
    colours, norm = colour_scale(values, goal)
    clipped = np.isfinite(values) & ((values < norm.vmin) | (values > norm.vmax))  # type: ignore[operator]
    extend = ("min" if goal.maximises else "max") if clipped.any() else "neither"
    bar = figure.colorbar(
        ScalarMappable(norm, colours), ax=places, pad=0.02, aspect=28, extend=extend
    )  # type: ignore[arg-type]
    bar.set_label(metric_label(goal))
    bar.outline.set_visible(False)  # type: ignore[operator]


def best_number(view: StudyView, objective: int) -> int | None:
    """Return the number of the best trial by one objective; None without a finished trial."""
    rows = best_trials(view, 1, objective)
    return int(rows["number"].iloc[0]) if len(rows) else None


def jitter(count: int, width: float = 0.22, turn: int = 0) -> Floats:
    """Return small shifts that keep marks of one category apart; the same each time.

    Args:
        count: How many.
        width: The largest shift.
        turn: 0 or 1: two rows of shifts that are not alike, for the two directions of a plane.
    """
    # Multiples of these numbers spread any number of marks evenly (Roberts, 2018).
    step = (0.7548776662, 0.5698402910)[turn]
    return np.asarray((np.arange(1, count + 1) * step % 1.0 - 0.5) * 2 * width, dtype=np.float64)


def spread(scale: ParamScale, places: Floats, turn: int = 0) -> Floats:
    """Return places on an axis, those of categories shifted a little so that none hides another."""
    return places + jitter(len(places), turn=turn) if scale.kind == "category" else places
