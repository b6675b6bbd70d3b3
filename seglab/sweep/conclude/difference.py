"""How two plain configurations differ, and what has to be merged into one to get the other.

Of our own because OmegaConf merges but does not compare, and Python takes 1, 1.0 and True for equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from seglab.config.language.grammar import as_literal

# Stands for the value of a key that is not there.
ABSENT = object()


def lookup(content: Any, key: str) -> Any:
    """Return the value at a dotted key; `ABSENT` where there is none."""
    for part in key.split("."):
        content = content.get(part, ABSENT) if isinstance(content, dict) else ABSENT
    return content


def same(one: Any, other: Any) -> bool:
    """Whether two plain contents are equal, type and all: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    both_nan = isinstance(one, float) and math.isnan(one) and math.isnan(other)
    return bool(one == other) or both_nan


def differences(
    raw: Mapping[Any, Any], wanted: Mapping[Any, Any], base: Mapping[Any, Any]
) -> dict[Any, Any]:
    """Return what has to be merged into `base`.

    Args:
        raw: What is wanted, interpolations as written; those that `base` has too may stay.
        wanted: The same with interpolations resolved.
        base: Where it starts from, interpolations as written.
    """
    found: dict[Any, Any] = {}
    for key, value in raw.items():
        before = base.get(key, ABSENT)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = differences(value, wanted[key], before)
            if inner:
                found[key] = inner
        elif not same(value, before):
            found[key] = as_literal(wanted[key])
    return found


def lacks_keys(wanted: Any, base: Any) -> bool:
    """Whether `base` has a key that `wanted` has not, however deep."""
    if not isinstance(wanted, dict) or not isinstance(base, dict):
        return wanted is ABSENT and base is not ABSENT
    return any(lacks_keys(wanted.get(key, ABSENT), value) for key, value in base.items())


def leaves_that_differ(one: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted key and both values of each difference; `ABSENT` where one has no such key."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            below = f"{key}.{name}" if key else str(name)
            values = (one.get(name, ABSENT), other.get(name, ABSENT))
            yield from leaves_that_differ(*values, below)
    elif not same(one, other):
        yield key, one, other
