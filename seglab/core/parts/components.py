"""The registry of components: what a `_target_` may name, and the options of each.

A component is declared by decorating its options, in a module that imports no torch:

    @component("loss_term", "seglab.losses.FocalLoss")
    class FocalOptions(Options): ...

Everything else follows from here: what a configuration allows, messages, help, tables, tests.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from seglab.core.options import Options

_Declared = TypeVar("_Declared", bound=type[Options])
_components: dict[str, dict[str, type[Options]]] = {}
_targets: dict[tuple[str, str], str] = {}


def component(group: str, target: str, name: str = "") -> Callable[[_Declared], _Declared]:
    """Register the decorated options as those of a component; may be given more than once.

    Args:
        group: What kind it is: model, loss, loss_term, optimizer, ...
        target: Where the component itself is, as `package.Name`; for one of several that one function
            builds, such as schedules, its name.
        name: What a configuration calls it, where that is not the target.
    """

    def register(options: _Declared) -> _Declared:
        _components.setdefault(group, {})[name or target] = options
        _targets[group, name or target] = target
        return options

    return register


def component_groups() -> tuple[str, ...]:
    """Return the kinds of which components are declared so far."""
    return tuple(_components)


def components(group: str) -> Mapping[str, type[Options]]:
    """Return the options of all components of a group by target or name, in order of declaration."""
    return MappingProxyType(_components.get(group, {}))


def load_component(group: str, name: str) -> Any:
    """Import and return a declared component."""
    module, _, attribute = _targets[group, name].rpartition(".")
    return getattr(importlib.import_module(module), attribute)
