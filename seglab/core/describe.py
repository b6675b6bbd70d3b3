"""The type of an option in words, for messages and help."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt

from seglab.core.options import OnDisk, OneOf, Span, Words
from seglab.core.problems import show_names

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    None: "null",
    Any: "anything",
}


def describe(hint: Any) -> str:
    """Return what a hint admits, such as `a whole number (1 or more) or null`."""
    if get_origin(hint) is typing.Annotated:
        return _annotated(get_args(hint)[0], hint.__metadata__)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        names = show_names(inner)
        return f"one of {names}" if len(inner) > 1 else f"'{names}'"
    if origin in (Union, types.UnionType):
        options = [describe(one) for one in inner]
        return " or ".join([", ".join(options[:-1]), options[-1]] if len(options) > 1 else options)
    if origin is list or Ellipsis in inner:
        return f"a list of [{describe(inner[0])}, ...]"
    if origin is tuple:
        return "[" + ", ".join(describe(one) for one in inner) + "]"
    if origin is dict:
        return "a group of keys"
    return _WORDS.get(hint, "a group of keys")


def _annotated(base: Any, extras: tuple[Any, ...]) -> str:
    for extra in extras:
        if isinstance(extra, Words):
            return extra.text
        if isinstance(extra, OnDisk):
            return f"the path of a {extra.kind}"
        if isinstance(extra, OneOf):
            return f"one of {show_names(extra.names)}"
        if isinstance(extra, Span):
            return f"[low, high] with {extra}"
    limits = _range(extras)
    return f"{describe(base)} ({limits})" if limits else describe(base)


def _range(extras: tuple[Any, ...]) -> str:
    """Return the limits of a number, such as `1 or more` or `0 to 1, 1 excluded`."""
    low: Any = None
    high: Any = None
    out = []
    for limit in [part for one in extras for part in (one if isinstance(one, Interval) else [one])]:
        if isinstance(limit, Ge | Gt):
            low = limit.ge if isinstance(limit, Ge) else limit.gt
        if isinstance(limit, Le | Lt):
            high = limit.le if isinstance(limit, Le) else limit.lt
        if isinstance(limit, Gt | Lt):
            out.append(low if isinstance(limit, Gt) else high)
    if low is not None and high is not None:
        left_out = f", {' and '.join(f'{end:g}' for end in out)} excluded" if out else ""
        return f"{low:g} to {high:g}{left_out}"
    if low is not None:
        return f"more than {low:g}" if out else f"{low:g} or more"
    if high is not None:
        return f"less than {high:g}" if out else f"{high:g} or less"
    return ""
