"""A type of the schema in words, for messages."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, Union, get_args, get_origin

from seglab.config.fields import Bounds, OnDisk, Size, Span
from seglab.config.problems import show_names

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
    if hint == Size:
        return "[height, width], two whole numbers (1 or more)"
    if get_origin(hint) is typing.Annotated:
        on_disk = [extra.kind for extra in hint.__metadata__ if isinstance(extra, OnDisk)]
        if on_disk:
            return f"the path of a {on_disk[0]}"
        spans = [str(extra) for extra in hint.__metadata__ if isinstance(extra, Span)]
        if spans:
            return f"[low, high] with {spans[0]}"
        bounds = [str(extra) for extra in hint.__metadata__ if isinstance(extra, Bounds)]
        words = describe(get_args(hint)[0])
        return f"{words} ({'; '.join(bounds)})" if bounds else words
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        names = show_names(inner)
        return f"one of {names}" if len(inner) > 1 else f"'{names}'"
    if origin in (Union, types.UnionType):
        options = [describe(one) for one in inner]
        return " or ".join([", ".join(options[:-1]), options[-1]] if len(options) > 1 else options)
    if origin is list:
        return f"a list of [{describe(inner[0])}, ...]"
    if origin is tuple:
        return "[" + ", ".join(describe(one) for one in inner) + "]"
    if origin is dict:
        return "a group of keys"
    return _WORDS.get(hint, "a group of keys")
