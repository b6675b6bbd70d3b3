"""Builds what a node of a study names by `_target_`, and what stands inside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from seglab.core.errors import ConfigError
from seglab.core.parts.plugins import TARGET, load_target
from seglab.core.problems import show

_HOW = (TARGET, "_partial_", "_args_", "_convert_", "_recursive_")

Further = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


def build_node(key: str, node: Any, group: str, further: Further | None = None) -> Any:
    """Build what a node of a study names, the nodes inside it first.

    Args:
        key: Of the node, for messages.
        node: `_target_` and arguments; also `_args_`, and `_partial_` for a function to be called later.
        group: A key of `KINDS`.
        further: Returns more arguments for a class that is given some.

    Raises:
        ConfigError: It is no such node, may not be imported, or refuses its arguments.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str):
        raise ConfigError(f"{key}: expected {TARGET} and arguments, got {show(node)}")
    target = node[TARGET]
    try:
        found = load_target(target, group)
    except ConfigError as error:
        raise ConfigError([f"{key}.{TARGET}: {one}" for one in error.problems]) from error
    given = {
        name: _built_inside(f"{key}.{name}", value, further)
        for name, value in arguments(node).items()
    }
    positional = _built_inside(f"{key}._args_", list(node.get("_args_", ())), further)
    if node.get("_partial_"):
        return functools.partial(found, *positional, **given)
    if further is not None:
        given |= further(found, given)
    return call(key, target, found, given, *positional)


def _built_inside(key: str, value: Any, further: Further | None) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return build_node(key, value, "search_part", further)
        return {name: _built_inside(f"{key}.{name}", one, further) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_built_inside(f"{key}[{i}]", one, further) for i, one in enumerate(value)]
    return value


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without what says how to build it."""
    return {key: value for key, value in node.items() if key not in _HOW}


def call(
    key: str, target: str, found: Callable[..., Any], given: Mapping[str, Any], *positional: Any
) -> Any:
    """Call what a target names, its failures told at the key.

    Raises:
        ConfigError: It fails, whatever it raises.
    """
    try:
        return found(*positional, **given)
    except ConfigError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not isinstance(error, TypeError | ValueError):
            reason = f"{type(error).__name__}: {reason}"
        raise ConfigError(f"{key}: {target} cannot be built of this: {reason}") from error
