"""What a search may choose from: texts such as `tag(log, interval(1e-4, 1e-1))`, read into plain values.

The grammar is Hydra's own. Nothing here knows the search library, so a command line is checked without
importing it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from seglab.config.language.grammar import Scalar, scalar_of
from seglab.config.language.locate import conf_dir
from seglab.core.errors import nearest
from seglab.core.problems import show, show_names

Options = Callable[[str], Sequence[str]]
EXAMPLES = "choice(4, 8), range(1, 5) or tag(log, interval(1e-4, 1e-1))"
_TAGS = ("log",)


@dataclass(frozen=True)
class Choices:
    """One of several values; those that are no number, truth value or null as text of the grammar."""

    values: tuple[Scalar, ...]

    def ends(self) -> tuple[Scalar, ...]:
        """Return the values that are worth a try before the search."""
        return self.values

    def listed(self) -> Iterator[Scalar]:
        """Yield every value."""
        yield from self.values

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self.values)


@dataclass(frozen=True)
class Numbers:
    """Numbers from `low` to `high`, both included; whole ones where both are of type int.

    Attributes:
        low: Smallest.
        high: Largest; for a range the last value before its stop.
        step: Distance of neighbours; None for any number between (whole numbers: 1).
        log: Whether small and large numbers are equally likely by order of magnitude.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether the numbers are whole."""
        return isinstance(self.low, int)

    def ends(self) -> tuple[int | float, ...]:
        """Return the values that are worth a try before the search."""
        return (self.low, self.high) if self.low != self.high else (self.low,)

    def countable(self) -> bool:
        """Whether the numbers can be tried one by one."""
        return self.whole or self.step is not None

    def listed(self) -> Iterator[int | float]:
        """Yield every number; only where they are `countable`."""
        low, step = _exact(self.low), _exact(self.step or 1)
        for index in range(len(self)):
            value = low + index * step
            yield int(value) if self.whole else float(value)

    def __len__(self) -> int:
        """Return how many numbers there are; only where they are `countable`."""
        return int((_exact(self.high) - _exact(self.low)) / _exact(self.step or 1)) + 1


Domain = Choices | Numbers


def read_domain(key: str, text: Any, options: Options) -> tuple[Domain | None, list[str]]:
    """Return what a key may be set to, or what is wrong with the text.

    `range` is Hydra's: its stop is left out, also where Hydra's own sum of floats runs into it.
    The order of values means nothing to a search, so `shuffle` changes nothing.

    Args:
        key: Dotted key or name of a group.
        text: In Hydra's grammar.
        options: Returns the choices of a group, for `glob(...)`.
    """
    if not isinstance(text, str):
        return None, [f"expected text such as {EXAMPLES}, got {show(text)}"]
    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        return None, [f"cannot be read, got {text}: {_reason(error)}"]
    if override.is_delete():
        return None, ["a key that is taken away (~) cannot be searched"]
    read = {ChoiceSweep: _choices, RangeSweep: _range, IntervalSweep: _interval, Glob: _glob}
    how = read.get(type(override._value))  # value() would unpack it, and has no Glob
    if how is None:
        return None, [
            f"expected several values such as {EXAMPLES}, got {text}; what stays the same is given "
            f"as a word of its own, {key}={text}"
        ]
    problems = list(_tag_problems(override._value))
    if problems:
        return None, problems
    return how(override, options)  # type: ignore[operator]


def listed_size(domain: Domain) -> int | None:
    """Return how many values a domain has; None where it cannot be gone through one by one."""
    return len(domain) if isinstance(domain, Choices) or domain.countable() else None


def take(domain: Domain, value: Any) -> Scalar:
    """Return a value as a search holds it.

    Raises:
        ValueError: It is not in the domain.
    """
    if isinstance(domain, Choices):
        wanted = scalar_of(value)
        for one in domain.values:
            if one == wanted and isinstance(one, bool) == isinstance(wanted, bool):
                return one
        raise ValueError(
            f"expected one of {show_names(map(show, domain.values))}, got {show(value)}"
        )
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    step = domain.step or (1 if domain.whole else None)
    fits = is_number and domain.low <= value <= domain.high
    if not fits or (step and (_exact(value) - _exact(domain.low)) % _exact(step)):
        steps = f" in steps of {step}" if step else ""
        raise ValueError(f"expected {domain.low} to {domain.high}{steps}, got {show(value)}")
    return int(value) if domain.whole else float(value)


def flatten_space(space: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their texts; `optimizer.lr: ...` and nested keys mean the same."""
    for key, value in space.items():
        full = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten_space(value, f"{full}.")
        else:
            yield full, value


def group_options(group: str) -> list[str]:
    """Return the choices of a group: as Hydra sees them where it runs, else those of `conf/`."""
    hydra = GlobalHydra.instance()
    if hydra.is_initialized():
        return list(hydra.config_loader().get_group_options(group, ObjectType.CONFIG))
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


Read = tuple[Domain | None, list[str]]


def _tag_problems(sweep: Any) -> Iterator[str]:
    tags = sorted(getattr(sweep, "tags", ()))
    for tag in tags:
        if tag not in _TAGS:
            yield f"unknown tag '{tag}'{nearest(tag, _TAGS)}; the only one is log"
    if "log" in tags and isinstance(sweep, ChoiceSweep):
        yield "tag(log, ...) goes with numbers: interval(low, high) or range(start, stop)"


def _choices(override: Override, options: Options) -> Read:
    return _as_choices([scalar_of(item) for item in override._value.list])  # type: ignore[union-attr]


def _glob(override: Override, options: Options) -> Read:
    group = override.key_or_group
    known = list(options(group)) if "." not in group else []
    if not known:
        return None, [f"glob(...) takes the choices of a group, and there is no group '{group}'"]
    matched = override._value.filter(known)  # type: ignore[union-attr]
    if not matched:
        return None, [f"{override.get_value_string()} matches none of {', '.join(known)}"]
    return _as_choices([scalar_of(name) for name in matched])


def _as_choices(values: list[Scalar]) -> Read:
    counts = Counter((type(value), value) for value in values)
    twice = [value for (_, value), count in counts.items() if count > 1]
    problems = [f"the same value twice: {show(value)}" for value in twice]
    # The storage compares values as Python does, to which 1, 1.0 and true are equal.
    problems += [
        f"{show(other)} and {show(value)} cannot be told apart"
        for index, value in enumerate(values)
        for other in values[:index]
        if value == other and type(value) is not type(other)
    ]
    return (None, problems) if problems else (Choices(tuple(values)), [])


def _interval(override: Override, options: Options) -> Read:
    sweep: Any = override._value
    low, high = sweep.start, sweep.end
    if not (math.isfinite(low) and math.isfinite(high)):
        return None, [f"expected finite numbers, got interval({low}, {high})"]
    if low > high:
        return None, [f"expected interval(low, high) with low <= high, got interval({low}, {high})"]
    log = "log" in sweep.tags
    if log and low <= 0:
        return None, [f"a logarithmic scale needs numbers above 0, got interval({low}, {high})"]
    return Numbers(low, high, None, log), []


def _range(override: Override, options: Options) -> Read:
    sweep: Any = override._value
    start, stop, step, log = sweep.start, sweep.stop, sweep.step, "log" in sweep.tags
    message = f"range({start}, {stop}, {step})"
    if not all(math.isfinite(number) for number in (start, stop, step)):
        return None, [f"expected finite numbers, got {message}"]
    if step == 0:
        return None, [f"expected a step other than 0, got {message}"]
    count = math.ceil((_exact(stop) - _exact(start)) / _exact(step))
    if count < 1:
        return None, [f"{message} holds no value; the stop is left out"]
    last = _exact(start) + (count - 1) * _exact(step)
    whole = all(isinstance(number, int) for number in (start, stop, step))
    first, end = sorted((_exact(start), last))
    low, high = (int(first), int(end)) if whole else (float(first), float(end))
    problems = list(_log_range_problems(message, low, step)) if log else []
    # Whole numbers in steps of 1 are the only ones that a logarithmic scale can have.
    size = None if log else abs(step)
    return (None, problems) if problems else (Numbers(low, high, size, log), [])


def _log_range_problems(message: str, low: float, step: float) -> Iterator[str]:
    if not isinstance(low, int) or abs(step) != 1:
        yield f"a logarithmic scale has no steps, got {message}; use tag(log, interval(low, high))"
    if low <= 0:
        yield f"a logarithmic scale needs numbers above 0, got {message}"


def _exact(number: float) -> Decimal:
    """Return a number as it was written: the sum of 0.1, 0.1 and 0.1 is then 0.3."""
    return Decimal(repr(number))


def _reason(error: HydraException) -> str:
    lines = str(error).splitlines()
    message = lines[1] if len(lines) > 1 and "while evaluating" in lines[1] else lines[0]
    if "NoneType is incompatible" in message:
        return "choice(...) takes no null; write the values with commas alone, such as null,1"
    return message.rpartition("': ")[2]
