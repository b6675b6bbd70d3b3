"""How the values of a searched parameter lie on an axis: by size, by ratio, or side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import LogLocator, MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from seglab.analysis.study.wording import number, short

Kind = Literal["linear", "log", "category"]
Floats = npt.NDArray[np.float64]

_MAX_TICKS = 12


@dataclass(frozen=True)
class ParamScale:
    """The axis of one parameter.

    Attributes:
        name: As in the search space, such as `optimizer.lr`.
        label: The shortest end of the name that no other parameter has.
        kind: By size, by ratio, or side by side.
        low: Lower end of the range; 0 for categories.
        high: Upper end; the last place of the categories.
        choices: The categories in order: numbers by size, words as they were given.
        whole: Only whole numbers are values.
    """

    name: str
    label: str
    kind: Kind
    low: float
    high: float
    choices: tuple[Any, ...] = ()
    whole: bool = False

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers, be they a range or choices."""
        return not self.choices or all(map(_is_number, self.choices))

    def values(self, trials: Iterable[FrozenTrial]) -> Floats:
        """Return the value in each trial, for a category its place; NaN in trials without it."""
        return np.array([self._value(trial.params) for trial in trials], dtype=np.float64)

    def _value(self, params: Mapping[str, Any]) -> float:
        if self.name not in params:
            return math.nan
        value = params[self.name]
        return float(_place(self.choices, value) if self.kind == "category" else value)

    def shares(self, values: npt.ArrayLike) -> Floats:
        """Return how far between the ends values lie, 0..1; in the middle where the ends are one."""
        array = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.kind == "log":
            array, low, high = np.log10(array), math.log10(low), math.log10(high)
        if high <= low:
            return np.where(np.isnan(array), np.nan, 0.5)
        return np.asarray((array - low) / (high - low), dtype=np.float64)

    def at(self, shares: npt.ArrayLike) -> Floats:
        """Return the values that lie so far between the ends; the way back from `shares`."""
        array = np.asarray(shares, dtype=np.float64)
        if self.kind == "log":
            return np.asarray(
                10 ** (math.log10(self.low) + array * math.log10(self.high / self.low))
            )
        return np.asarray(self.low + array * (self.high - self.low), dtype=np.float64)

    def ticks(self) -> list[tuple[float, str]]:
        """Return a few values with what to write beside them."""
        if self.kind == "category":
            step = math.ceil(len(self.choices) / _MAX_TICKS)
            return [
                (float(place), short(choice))
                for place, choice in enumerate(self.choices)
                if place % step == 0
            ]
        if self.high <= self.low:
            return [(self.low, number(self.low))]
        found = self._round_ticks()
        return [(value, number(value)) for value in found if self.low <= value <= self.high]

    def _round_ticks(self) -> Sequence[float]:
        if self.kind == "log":
            decades = math.log10(self.high / self.low)
            subs = (1.0,) if decades >= 2 else ((1.0, 3.0) if decades >= 1 else (1.0, 2.0, 5.0))
            values = LogLocator(subs=subs, numticks=20).tick_values(self.low, self.high)
        else:
            values = MaxNLocator(5, integer=self.whole).tick_values(self.low, self.high)
        inside = [float(value) for value in values if self.low <= value <= self.high]
        return inside if len(inside) > 1 else [self.low, self.high]

    @property
    def title(self) -> str:
        """What stands beside the axis."""
        return f"{self.label} (log)" if self.kind == "log" else self.label

    def ends(self) -> tuple[float, float]:
        """Return where a drawn axis begins and ends: a little beyond the range."""
        if self.kind == "category":
            return self.low - 0.6, self.high + 0.6
        if self.high <= self.low:
            return self.low * 0.9 - 1e-9, self.high * 1.1 + 1e-9
        return float(self.at(-0.04)), float(self.at(1.04))


def param_scales(trials: Sequence[FrozenTrial]) -> dict[str, ParamScale]:
    """Return the axis of every parameter that some trial has, in order of first appearance."""
    found: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            found.setdefault(name, []).append(distribution)
    labels = short_names(list(found))
    return {name: _scale(name, labels[name], kinds) for name, kinds in found.items()}


def _scale(name: str, label: str, found: Sequence[BaseDistribution]) -> ParamScale:
    ranges = [one for one in found if not isinstance(one, CategoricalDistribution)]
    if len(ranges) < len(found):
        given = [one.choices for one in found if isinstance(one, CategoricalDistribution)]
        choices = _ordered([choice for choices in given for choice in choices])
        return ParamScale(name, label, "category", 0.0, len(choices) - 1.0, choices)
    # A resumed study may have other ends than it began with.
    low = float(min(one.low for one in ranges))  # type: ignore[attr-defined]
    high = float(max(one.high for one in ranges))  # type: ignore[attr-defined]
    log = any(one.log for one in ranges) and low > 0  # type: ignore[attr-defined]
    whole = all(float(one.low).is_integer() and (one.step or 0.5) % 1 == 0 for one in ranges)  # type: ignore[attr-defined]
    return ParamScale(name, label, "log" if log else "linear", low, high, whole=whole)


def _ordered(choices: Iterable[Any]) -> tuple[Any, ...]:
    distinct: list[Any] = []
    for choice in choices:
        if _place(distinct, choice) < 0:
            distinct.append(choice)
    return tuple(sorted(distinct)) if all(map(_is_number, distinct)) else tuple(distinct)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _place(choices: Sequence[Any], value: Any) -> int:
    """Return where a choice is, -1 where it is not; True is not 1 here, as it is in Python."""
    for place, choice in enumerate(choices):
        if type(choice) is type(value) and choice == value:
            return place
    return -1


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return for each name with dots its shortest end that is no end of another.

    >>> short_names(["optimizer.lr", "model.lr", "loss"])
    {'optimizer.lr': 'optimizer.lr', 'model.lr': 'model.lr', 'loss': 'loss'}
    """
    ends = Counter(end for name in names for end in _ends(name))
    return {
        name: next(end for end in _ends(name) if ends[end] == 1 or end == name) for name in names
    }


def _ends(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
