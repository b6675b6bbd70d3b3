"""Classes and functions that a study names by `_target_`: samplers, pruners, functions of the user's own.

Unlike the targets of models and losses they are not from a list: a search is not part of a run's
record that others rebuild, and a sampler of one's own is a legitimate wish.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from seglab.core.errors import ConfigError
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show, show_names

TARGET = "_target_"
_OF_HYDRA = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


def load_named(target: Any) -> Any:
    """Return what a dotted path such as `optuna.samplers.TPESampler` names.

    Modules in the current folder are found too, after the installed ones.

    Raises:
        ConfigError: There is no such thing, or its module cannot be imported.
    """
    module_name, _, name = str(target).rpartition(".")
    if not isinstance(target, str) or not module_name or not name:
        raise ConfigError(f"expected package.module.name, got {show(target)}")
    _find_in_current_folder()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of the user's raises
        raise ConfigError(
            f"{show(target)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        public = [one for one in vars(module) if not one.startswith("_")]
        raise ConfigError(
            f"{module_name} has no '{name}'{did_you_mean(nearest_keys(name, public))}"
        )
    return getattr(module, name)


def class_problems(
    key: str, node: Any, base: type, supplied: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield what is wrong with a node that is to become an object of a subclass of `base`.

    Args:
        key: Of the node.
        node: `_target_` and arguments.
        base: The class it must inherit.
        supplied: Arguments that the study gives itself.
    """
    found = list(_node_problems(key, node, base, supplied))
    yield from found
    if not found:
        yield from _building_problems(key, node, supplied)


def call_problems(key: str, node: Any, given: int) -> Iterator[Problem]:
    """Yield what is wrong with a node whose `_target_` is called with `given` positional arguments."""
    function = _loaded(key, node)
    if isinstance(function, Problem):
        yield function
    elif not callable(function):
        yield Problem(f"{key}.{TARGET}", f"expected a function, got {show(node[TARGET])}")
    else:
        yield from _argument_problems(key, node, function, positional=given)


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without what is meant for Hydra."""
    return {key: value for key, value in node.items() if key not in _OF_HYDRA}


def names_subclass(node: Any, *bases: type) -> bool:
    """Whether a node names a class that inherits one of `bases`; not where it names nothing."""
    try:
        found = load_named(node[TARGET])
    except (ConfigError, KeyError, TypeError):
        return False  # reported where the node itself is checked
    return isinstance(found, type) and issubclass(found, bases)


def _find_in_current_folder() -> None:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        # For good: a function may import a neighbour only when it is called.
        sys.path.append(here)


def _loaded(key: str, node: Any) -> Any:
    """Return what a node names, or a problem."""
    if not isinstance(node, Mapping) or TARGET not in node:
        return Problem(key, f"expected a group of keys with a {TARGET}, got {show(node)}")
    try:
        return load_named(node[TARGET])
    except ConfigError as error:
        return Problem(f"{key}.{TARGET}", error.problems[0])


def _node_problems(
    key: str, node: Any, base: type | None, supplied: Collection[str]
) -> Iterator[Problem]:
    found = _loaded(key, node)
    if isinstance(found, Problem):
        yield found
        return
    if base is not None and not (isinstance(found, type) and issubclass(found, base)):
        wanted = f"{base.__module__.partition('.')[0]}'s {base.__name__}"
        yield Problem(f"{key}.{TARGET}", f"expected a subclass of {wanted}, got {node[TARGET]!r}")
    elif not callable(found):
        yield Problem(f"{key}.{TARGET}", f"expected a class or function, got {node[TARGET]!r}")
    elif not node.get("_partial_"):
        yield from _argument_problems(key, node, found, supplied=supplied)
    for name, value in arguments(node).items():
        if isinstance(value, Mapping) and TARGET in value:
            yield from _node_problems(f"{key}.{name}", value, None, ())


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


def _building_problems(key: str, node: Any, supplied: Collection[str]) -> Iterator[Problem]:
    """Build the object once: only its class knows which values it takes."""
    needed = inspect.signature(load_named(node[TARGET])).parameters
    required: dict[str, Any] = {
        name: {}
        for name in supplied
        if name in needed and needed[name].default is inspect.Parameter.empty
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _built({**node, **required})
    except Exception as error:  # noqa: BLE001 - whatever the class raises
        reason = (str(error) or type(error).__name__).splitlines()[0]
        yield Problem(key, f"{node[TARGET]} cannot be built of this: {reason}")


def _built(value: Any) -> Any:
    """Build a node, those inside it first."""
    if isinstance(value, list):
        return [_built(one) for one in value]
    if not isinstance(value, Mapping) or TARGET not in value:
        return value
    found = load_named(value[TARGET])
    given = {name: _built(one) for name, one in arguments(value).items()}
    positional = [_built(one) for one in value.get("_args_", ())]
    partial = functools.partial(found, *positional, **given)
    return partial if value.get("_partial_") else partial()
