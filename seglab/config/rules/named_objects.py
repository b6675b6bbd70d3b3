"""What is wrong with the samplers, pruners and functions that a study names by `_target_`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from seglab.core.errors import ConfigError
from seglab.core.parts.nodes import arguments, build_node
from seglab.core.parts.plugins import TARGET, load_target
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show, show_names


def class_problems(
    key: str, node: Any, group: str, supplied: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what is wrong with a node that is to become a sampler or pruner.

    Args:
        key: Of the node.
        node: `_target_` and arguments.
        group: `sampler` or `pruner`.
        supplied: Arguments that the study gives itself.
    """
    found = list(_node_problems(key, node, group, supplied))
    yield from found
    if not found:
        yield from _building_problems(key, node, group, supplied)


def call_problems(key: str, node: Any, given: int) -> Iterator[Problem]:
    """Yield what is wrong with a node whose `_target_` is called with `given` positional arguments."""
    function = _loaded(key, node, "conditional")
    if isinstance(function, Problem):
        yield function
    else:
        yield from _argument_problems(key, node, function, positional=given)


def names_subclass(node: Any, *bases: type) -> bool:
    """Whether a node names a class that inherits one of `bases`; not where it names nothing."""
    try:
        found = load_target(node[TARGET], "search_part")
    except (ConfigError, KeyError, TypeError):
        return False  # reported where the node itself is checked
    return isinstance(found, type) and issubclass(found, bases)


def _loaded(key: str, node: Any, group: str) -> Any:
    """Return what a node names, or a problem."""
    if not isinstance(node, Mapping) or TARGET not in node:
        return Problem(key, f"expected a group of keys with a {TARGET}, got {show(node)}")
    try:
        return load_target(node[TARGET], group)
    except ConfigError as error:
        return Problem(f"{key}.{TARGET}", error.problems[0])


def _node_problems(key: str, node: Any, group: str, supplied: Collection[str]) -> Iterator[Problem]:
    found = _loaded(key, node, group)
    if isinstance(found, Problem):
        yield found
        return
    if not node.get("_partial_"):
        yield from _argument_problems(key, node, found, supplied=supplied)
    for name, value in arguments(node).items():
        if isinstance(value, Mapping) and TARGET in value:
            yield from _node_problems(f"{key}.{name}", value, "search_part", ())


def _argument_problems(
    key: str,
    node: Mapping[str, Any],
    found: Any,
    positional: int = 0,
    supplied: Collection[str] = (),
) -> Iterator[Problem]:
    parameters = list(inspect.signature(found).parameters.values())
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    takes = {one.name: one for one in parameters[positional:] if one.kind is not one.VAR_POSITIONAL}
    free = [name for name in takes if name not in supplied]
    name_of = node[TARGET].rpartition(".")[2]
    for name in arguments(node):
        if name in supplied:
            yield Problem(f"{key}.{name}", "the study gives it itself; remove it")
        elif name not in takes:
            meant = did_you_mean(nearest_keys(name, free))
            yield Problem(
                f"{key}.{name}",
                f"no such argument{meant}; {name_of} takes {show_names(free) or 'none'}; "
                f"~{key}.{name} takes it away",
            )
    for name in free:
        if takes[name].default is inspect.Parameter.empty and not {name, "_args_"} & set(node):
            yield Problem(f"{key}.{name}", f"missing; {name_of} cannot do without it")


def _building_problems(
    key: str, node: Any, group: str, supplied: Collection[str]
) -> Iterator[Problem]:
    """Build the object once: only its class knows which values it takes."""
    needed = inspect.signature(load_target(node[TARGET], group)).parameters
    required: dict[str, Any] = {
        name: {}
        for name in supplied
        if name in needed and needed[name].default is inspect.Parameter.empty
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build_node(key, {**node, **required}, group)
    except ConfigError as error:
        for one in error.problems:
            yield Problem(key, one.removeprefix(f"{key}: "))
