"""Frozen dataclasses whose fields carry their own limits: declare, check and read them.

So that a range stands once, beside the field it belongs to, and every mistake in a configuration is
found in one go. Imports neither torch nor OpenCV.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from seglab.core.errors import ConfigError, nearest

_Section = TypeVar("_Section")


def number(default: float, low: float, high: float) -> Any:
    """Declare a field that takes a finite number in `low..high`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def pair(default: tuple[float, float], low: float, high: float) -> Any:
    """Declare a field that takes two numbers in ascending order, both in `low..high`."""
    limits = {"low": low, "high": high, "pair": True}
    return dataclasses.field(default=default, metadata=limits)


def choice(default: str, *options: str) -> Any:
    """Declare a field that takes one of some words."""
    return dataclasses.field(default=default, metadata={"options": options})


def require_valid(section: Any) -> None:
    """Check the fields of one dataclass; sections inside it have checked themselves.

    Raises:
        ConfigError: Values are outside their limits; all are listed.
    """
    checked = [
        (item.name, _check_value(getattr(section, item.name), item.metadata))
        for item in dataclasses.fields(section)
        if item.metadata
    ]
    kind = type(section).__name__
    problems = [f"{kind}.{name}: {problem}" for name, problem in checked if problem]
    if problems:
        raise ConfigError(problems)


def read_section(
    kind: type[_Section], content: Any, path: str, problems: list[str]
) -> _Section | None:
    """Build a dataclass from a mapping; fields without limits are sections of their own.

    Args:
        kind: The dataclass to build.
        content: Mapping of its fields; those left out keep their default.
        path: Where the mapping stands, for the messages.
        problems: Every mistake found is appended here.

    Returns:
        The dataclass, or None where a mistake was found.
    """
    if not isinstance(content, Mapping):
        problems.append(f"{path}: expected a mapping, got {content!r}")
        return None
    before = len(problems)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in content.items():
        name, place = str(key), f"{path}.{key}"
        if name not in fields:
            known = ", ".join(fields)
            problems.append(f"{place}: unknown key{nearest(name, fields)}; known are {known}")
        elif fields[name].metadata:
            values[name] = _freeze(value)
            problem = _check_value(values[name], fields[name].metadata)
            problems.extend([f"{place}: {problem}"] if problem else [])
        else:
            section: Any = fields[name].default_factory
            values[name] = read_section(section, value, place, problems)
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ConfigError as error:
        # Only rules across fields are left, and those name the class instead of the path.
        problems.extend(text.replace(kind.__name__, path, 1) for text in error.problems)
        return None


def _check_value(value: Any, limits: Mapping[str, Any]) -> str | None:
    if "options" in limits:
        options = limits["options"]
        if value in options:
            return None
        return f"expected one of {', '.join(options)}; got {value!r}{nearest(str(value), options)}"
    low, high = limits["low"], limits["high"]
    if "pair" not in limits:
        if _is_number(value) and low <= value <= high:
            return None
        return f"expected a number in {low:g}..{high:g}, got {value!r}"
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))):
        return f"expected two numbers [low, high], got {value!r}"
    if low <= value[0] <= value[1] <= high:
        return None
    return f"expected [low, high] with {low:g} <= low <= high <= {high:g}, got {list(value)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _freeze(value: Any) -> Any:
    """Turn lists (YAML, OmegaConf) into tuples, so that specs compare and hash."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value
