"""Holds a configuration against the declarations and reports every difference, not only the first.

Each declaration's own values are pydantic's matter (`seglab.core.option_problems`). What is added is
what a configuration has beside: values still missing or not to be worked out, nodes whose choice of
options depends on a key, and names that were meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from seglab.config.declared.targets import SCHEMAS, schema_of
from seglab.core.errors import ConfigError
from seglab.core.option_problems import (
    expected,
    hints_of,
    is_options,
    is_union,
    join,
    known_above,
    problems_of,
    suggest,
    unwrap,
)
from seglab.core.options import ChosenBy, Options, Targets
from seglab.core.problems import Problem, show


def check(
    cfg: DictConfig, schema: type[Options], path: str = "", told: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return every difference between a composed configuration and its declaration.

    Args:
        cfg: The composed configuration, without the `hydra` node; interpolations may be unresolved.
        schema: Such as those of `seglab.config.declared.schema`.
        path: Key of `cfg` where it is a part of a configuration.
        told: Keys that other tools have, with what is said to them.
    """
    unreadable: dict[str, Problem | None] = {}
    content = _read(cfg, path, unreadable)
    checker = _Check(path, unreadable)
    checker.node(content, schema, path)
    return checker.found(told)


def as_written(value: Any) -> Any:
    """Return plain lists and dicts of a configuration node, interpolations as written."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _read(node: Any, path: str, unreadable: dict[str, Problem | None]) -> Any:
    """Return plain content; a value that cannot be read is None, and its key is noted with the reason."""
    if isinstance(node, DictConfig):
        return {
            key: _read(
                _value(node, key, join(path, str(key)), unreadable),
                join(path, str(key)),
                unreadable,
            )
            for key in node
        }
    if isinstance(node, ListConfig):
        return [
            _read(
                _value(node, index, f"{path}[{index}]", unreadable), f"{path}[{index}]", unreadable
            )
            for index in range(len(node))
        ]
    return node


def _value(node: Any, key: Any, path: str, unreadable: dict[str, Problem | None]) -> Any:
    try:
        if OmegaConf.is_missing(node, key):
            text = "missing; it has no default, so give a value"
            unreadable[path] = Problem(path, text, "missing")
            return None
        return node[key]
    except InterpolationToMissingValueError:
        unreadable[path] = None  # reported at the key that is missing
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].rpartition("interpolation: ")[2].strip('"')
        unreadable[path] = Problem(path, f"its value cannot be worked out: {reason}")
    return None


class _Check:
    """Carries what is found on the way: the problems, and all keys that do exist."""

    def __init__(self, path: str, unreadable: Mapping[str, Problem | None]) -> None:
        self.unreadable = unreadable
        self.problems: list[Problem] = []
        # In the order of the declarations, which is that of the report.
        self.known: dict[str, None] = {path: None} if path else {}
        # Keys of choices that were not made, with those choices.
        self.elsewhere: dict[str, list[str]] = {}

    def found(self, told: Mapping[str, str] | None = None) -> list[Problem]:
        """Return all problems, in the order of the keys that have them."""
        unknown = {one.key for one in self.problems if one.kind == "unknown"}
        unread = [one for key, one in self.unreadable.items() if one and key not in unknown]
        named = [suggest(one, self.known, self.elsewhere, told) for one in self.problems]
        order = {key: place for place, key in enumerate(self.known)}

        def place(problem: Problem) -> float:
            """Where a key stands; one that is unknown comes before those that are known beside it."""
            key = problem.key
            return order[key] if key in order else order.get(known_above(key, order), -1) + 0.5

        return sorted([*named, *unread], key=place)

    def node(self, value: Any, schema: type[Options], path: str, is_built: bool = False) -> None:
        """Check a mapping; one that `is_built` has a `_target_` too."""
        if is_built and isinstance(value, Mapping):
            value = {key: item for key, item in value.items() if key != "_target_"}
        for problem in problems_of(schema, value, path):
            if problem.kind == "unknown" or not self.rests_on_unreadable(problem.key):
                self.problems.append(problem)
        self.visit(schema, value, path, {})

    def rests_on_unreadable(self, key: str) -> bool:
        return any(f"{one}.".startswith((f"{key}.", f"{key}[")) for one in self.unreadable)

    def visit(self, hint: Any, value: Any, path: str, parent: Mapping[Any, Any]) -> None:
        """Note the keys there are, and check the nodes that a key of theirs decides about."""
        base, extras = unwrap(hint)
        mark = next((extra for extra in extras if isinstance(extra, ChosenBy | Targets)), None)
        if isinstance(mark, ChosenBy):
            self.chosen(value, mark, path, parent)
        elif isinstance(mark, Targets):
            self.target(value, mark.group, path)
        elif is_union(base):
            for one in get_args(base):
                self.visit(one, value, path, parent)
        elif is_options(base):
            for name, inner in hints_of(base).items():
                self.known[join(path, name)] = None
                if isinstance(value, Mapping) and name in value:
                    self.visit(inner, value[name], join(path, name), value)
        else:
            self.items(base, value, path)

    def items(self, base: Any, value: Any, path: str) -> None:
        origin, inner = get_origin(base), get_args(base)
        if origin is dict and isinstance(value, Mapping):
            for key, item in value.items():
                full = join(path, str(key))
                self.known[full] = None
                if inner[1] is Any:
                    self.no_targets(key, item, full)
                else:
                    self.visit(inner[1], item, full, value)
        elif origin in (list, tuple) and isinstance(value, list):
            for index, item in enumerate(value):
                full = f"{path}[{index}]"
                self.known[full] = None
                self.visit(inner[min(index, len(inner) - 1)], item, full, {})

    def no_targets(self, key: Any, value: Any, path: str) -> None:
        """Free-form values may hold anything but an instruction to import code."""
        if key == "_target_":
            text = f"{show(value)} is not allowed here; nothing is built from this node"
            problem = Problem(path, text)
            if problem not in self.problems:
                self.problems.append(problem)
        self.no_targets_in(value, path)

    def no_targets_in(self, value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            for inner, item in value.items():
                self.no_targets(inner, item, join(path, str(inner)))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.no_targets_in(item, f"{path}[{index}]")

    def chosen(
        self,
        value: Any,
        chosen: ChosenBy,
        path: str,
        parent: Mapping[Any, Any],
        is_built: bool = False,
    ) -> None:
        holder = value if chosen.inside else parent
        name = holder.get(chosen.sibling) if isinstance(holder, Mapping) else None
        schema = chosen.choices.get(str(name), chosen.other)
        if schema is None and chosen.own and isinstance(name, str) and "." in name:
            schema = self.own(chosen.own, name, join(path.rpartition(".")[0], chosen.sibling))
        if not isinstance(value, Mapping):
            return
        if chosen.inside:
            self.note_other_choices(chosen, path, schema)
        if schema is not None:
            self.node(value, schema, path, is_built)
        elif chosen.inside:  # beside it, the choice is reported at its own key
            names = Literal[tuple(chosen.choices)]  # type: ignore[valid-type]
            self.problems.append(Problem(join(path, chosen.sibling), expected(name, names)))

    def own(self, group: str, name: str, path: str) -> Any:
        try:
            return schema_of(group, name)
        except ConfigError as error:
            self.problems += [Problem(path, text) for text in error.problems]
            return None

    def note_other_choices(self, chosen: ChosenBy, path: str, schema: type[Options] | None) -> None:
        own = set(schema.model_fields) if schema else set()
        for choice, other in chosen.choices.items():
            for name in other.model_fields:
                if name not in own:
                    self.elsewhere.setdefault(join(path, name), []).append(choice)

    def target(self, value: Any, group: str, path: str) -> None:
        if not isinstance(value, Mapping):
            return
        full = join(path, "_target_")
        self.known[full] = None
        if full in self.unreadable:
            return
        own = {key: item for key, item in value.items() if key != "_target_"}
        try:
            schema = schema_of(group, value.get("_target_"))
        except ConfigError as error:
            self.problems += [Problem(full, text) for text in error.problems]
            self.no_targets_in(own, path)
            return
        if isinstance(schema, ChosenBy):
            self.chosen(value, schema, path, value, is_built=True)
        else:
            self.node(value, schema, path, is_built=True)
            if value["_target_"] not in SCHEMAS.get(group, ()):
                self.no_targets_in(own, path)  # hints of a signature say little
