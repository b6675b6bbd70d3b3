"""The vocabulary of the schema: what a value may be beyond its Python type.

The schema's dataclasses annotate their fields with these, for example
`batch_size: Annotated[int, AtLeast(1)]`; `seglab.config.walk` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal


@dataclass(frozen=True)
class Bounds:
    """A number's range; an open end excludes the limit itself."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the range; NaN does not."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)
        below = (
            self.high is None or value < self.high or (value == self.high and not self.high_open)
        )
        return above and below and value == value

    def __str__(self) -> str:
        """Return the range in words, such as `1 or more` or `0 to 1, 1 excluded`."""
        if self.low is not None and self.high is not None:
            ends = [self.low] * self.low_open + [self.high] * self.high_open
            left_out = f", {' and '.join(f'{end:g}' for end in ends)} excluded" if ends else ""
            return f"{self.low:g} to {self.high:g}{left_out}"
        if self.low is not None:
            return f"more than {self.low:g}" if self.low_open else f"{self.low:g} or more"
        if self.high is not None:
            return f"less than {self.high:g}" if self.high_open else f"{self.high:g} or less"
        return "any"


@dataclass(frozen=True)
class Span:
    """A pair [low, high] inside limits, in this order."""

    low: float
    high: float

    def holds(self, pair: Sequence[float]) -> bool:
        """Whether both ends lie in the limits and do not cross."""
        return self.low <= pair[0] <= pair[1] <= self.high

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"{self.low:g} <= low <= high <= {self.high:g}"


@dataclass(frozen=True)
class OnDisk:
    """A path that must exist before anything is built."""

    kind: Literal["file", "folder", "file or folder"]

    def holds(self, path: Path) -> bool:
        """Whether there is such a thing at `path`."""
        return {"file": path.is_file, "folder": path.is_dir}.get(self.kind, path.exists)()


@dataclass(frozen=True)
class Targets:
    """A node whose `_target_` decides its fields: one of the targets registered for `group`."""

    group: str


@dataclass(frozen=True)
class ChosenBy:
    """A node whose fields depend on the value of the key `sibling`: beside it, or `inside` it.

    `other` holds for any other value of that key; without it the node is then not looked into.
    """

    sibling: str
    choices: dict[str, type] = field(hash=False)
    inside: bool = False
    other: type | None = None


@dataclass(frozen=True)
class AsTyped:
    """Text that is what was typed, also where YAML or the grammar reads `no` or `1e3` otherwise.

    It is in Unicode's composed form (NFC).
    """


Name = Annotated[str, AsTyped()]
Positive = Annotated[int, Bounds(1)]
NotNegative = Annotated[int, Bounds(0)]
PositiveFloat = Annotated[float, Bounds(0, low_open=True)]
NotNegativeFloat = Annotated[float, Bounds(0)]
Fraction = Annotated[float, Bounds(0, 1)]
ProperFraction = Annotated[float, Bounds(0, 1, high_open=True)]
Size = tuple[Positive, Positive]
Pair = tuple[float, float]
