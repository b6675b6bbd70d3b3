"""Holds a configuration against the schema and reports every difference, not only the first.

OmegaConf's structured configs stop at the first mistake and let `+key=value` through; this walk
does neither. It reads; it changes nothing.
"""

from __future__ import annotations

import dataclasses
import types
import typing
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from seglab.config.describe import describe
from seglab.config.fields import AsTyped, Bounds, ChosenBy, OnDisk, Span, Targets
from seglab.config.problems import Problem, did_you_mean, nearest_keys, show, show_names
from seglab.config.targets import SCHEMAS, target_problem
from seglab.core.errors import nearest

_UNREADABLE = object()


def walk(cfg: DictConfig, schema: type, path: str = "") -> list[Problem]:
    """Return every difference between a composed configuration and its schema.

    Args:
        cfg: The composed configuration, without the `hydra` node; interpolations may be unresolved.
        schema: Dataclass from `seglab.config.schema`.
        path: Key of `cfg` where it is a part of a configuration.
    """
    walker = _Walker(path)
    walker.node(cfg, schema, path)
    return [walker.with_suggestion(problem) for problem in walker.problems]


class _Walker:
    """Carries what is found on the way: the problems, and all keys that do exist."""

    def __init__(self, path: str = "") -> None:
        self.problems: list[Problem] = []
        self.known: set[str] = {path} if path else set()
        # Keys of choices that were not made, with those choices.
        self.elsewhere: dict[str, list[str]] = {}

    def add(self, key: str, text: str, kind: str = "value") -> None:
        self.problems.append(Problem(key, text, kind))

    def with_suggestion(self, problem: Problem) -> Problem:
        if problem.kind != "unknown":
            return problem
        parent = problem.key.rpartition(".")[0]
        while parent and parent not in self.known:
            parent = parent.rpartition(".")[0]
        named = [one.rpartition(".") for one in self.known if not one.endswith("]")]
        here = sorted(leaf for above, _, leaf in named if above == parent)
        place = f"'{parent}' takes" if parent else "the top level takes"
        meant = did_you_mean(nearest_keys(problem.key, self.known))
        allowed = f"{place} {show_names(here)}" if here else f"'{parent}' takes no keys"
        if problem.key in self.elsewhere:
            allowed = f"it goes with {parent}={show_names(self.elsewhere[problem.key])}"
            meant = ""
        return Problem(problem.key, f"no such key{meant}, got {problem.text}; {allowed}", "unknown")

    def node(self, node: Any, schema: type, path: str, is_built: bool = False) -> None:
        """Check a mapping against a dataclass; one that `is_built` has a `_target_` too."""
        if not isinstance(node, DictConfig):
            self.add(path, f"expected a group of keys, got {show(plain(node))}")
            return
        hints = get_type_hints(schema, include_extras=True)
        fields = {field.name: field for field in dataclasses.fields(schema)}
        self.known.update(join(path, name) for name in fields)
        for key in node:
            if str(key) not in fields and not (is_built and key == "_target_"):
                self.unknown(node, key, path)
        present = set(node.keys())  # `in` would deny keys whose value is still missing
        for name, field in fields.items():
            full = join(path, name)
            if name not in present:
                if field.default is dataclasses.MISSING:
                    self.add(full, "missing; it must be in the configuration", "missing")
                continue
            value = self.read(node, name, full)
            if value is not _UNREADABLE:
                self.field(value, hints[name], full, node)

    def unknown(self, node: DictConfig, key: Any, path: str) -> None:
        full = join(path, str(key))
        value = self.read(node, key, full, quiet=True)
        if isinstance(value, DictConfig) and value:
            # Name the leaf the user wrote, not the group that came to be around it.
            for inner in value:
                self.unknown(value, inner, full)
            return
        self.add(full, show(None if value is _UNREADABLE else plain(value)), "unknown")

    def read(self, node: Any, key: Any, path: str, quiet: bool = False) -> Any:
        """Return the resolved value, or `_UNREADABLE` after reporting why it has none."""
        try:
            if OmegaConf.is_missing(node, key):
                if not quiet:
                    self.add(path, "missing; it has no default, so give a value", "missing")
                return _UNREADABLE
            return node[key]
        except InterpolationToMissingValueError:
            return _UNREADABLE  # reported at the key that is missing
        except (OmegaConfBaseException, ValueError, TypeError) as error:
            if not quiet:
                reason = str(error).splitlines()[0].rpartition("interpolation: ")[2].strip('"')
                self.add(path, f"its value cannot be worked out: {reason}")
            return _UNREADABLE

    def field(self, value: Any, hint: Any, path: str, parent: DictConfig) -> None:
        """Check one value; `parent` is the node around it, for fields that depend on a sibling."""
        base, extras = _unwrap(hint)
        chosen = next((extra for extra in extras if isinstance(extra, ChosenBy)), None)
        targets = next((extra for extra in extras if isinstance(extra, Targets)), None)
        if chosen is not None:
            self.chosen(value, chosen, path, parent)
        elif targets is not None:
            self.target(value, targets.group, path)
        elif get_origin(base) in (Union, types.UnionType):
            self.union(value, hint, path, parent)
        elif dataclasses.is_dataclass(base):
            self.node(value, typing.cast(type, base), path)
        elif get_origin(base) in (list, tuple, dict):
            self.container(value, hint, path, parent)
        elif not _fits(value, base, extras):
            kind = "text" if _is_name(extras) else "value"
            self.add(path, _expected(value, hint, path), kind)
        else:
            self.on_disk(value, extras, path)

    def union(self, value: Any, hint: Any, path: str, parent: DictConfig) -> None:
        attempts = []
        for option in get_args(_unwrap(hint)[0]):
            attempt = _Walker()
            attempt.field(value, option, path, parent)
            self.known |= attempt.known
            if not attempt.problems:
                return
            attempts.append(attempt.problems)
        # An alternative that took the value's form and found something inside knows better.
        deeper = [found for found in attempts if any(one.key != path for one in found)]
        on_disk = any(found[0].kind == "disk" for found in attempts)
        if deeper:
            self.problems += deeper[0]
        else:
            why = "; there is no such path" if on_disk else ""
            as_typed = any(found[0].kind == "text" for found in attempts)
            self.add(path, _expected(value, hint, path) + why, "text" if as_typed else "value")

    def container(self, value: Any, hint: Any, path: str, parent: DictConfig) -> None:
        base = _unwrap(hint)[0]
        origin, inner = get_origin(base), get_args(base)
        if not isinstance(value, DictConfig if origin is dict else ListConfig):
            self.add(path, _expected(value, hint))
            return
        if origin is tuple and len(value) != len(inner):
            self.add(path, _expected(value, hint))
            return
        before = len(self.problems)
        keys = list(value) if origin is dict else range(len(value))
        for position, key in enumerate(keys):
            inner_hint = inner[1] if origin is dict else inner[0]
            if origin is tuple:
                inner_hint = inner[position]
            full = join(path, str(key)) if origin is dict else f"{path}[{key}]"
            self.known.add(full)
            item = self.read(value, key, full)
            if item is _UNREADABLE:
                continue
            if inner_hint is Any:
                self.no_targets(key, item, full)
            else:
                self.field(item, inner_hint, full, parent)
        spans = [extra for extra in _unwrap(hint)[1] if isinstance(extra, Span)]
        if len(self.problems) == before and not all(span.holds(list(value)) for span in spans):
            self.add(path, _expected(value, hint))

    def no_targets(self, key: Any, value: Any, path: str) -> None:
        """Free-form values may hold anything but an instruction to import code."""
        if key == "_target_":
            self.add(path, f"{show(value)} is not allowed here; nothing is built from this node")
        if isinstance(value, DictConfig):
            for inner in value:
                full = join(path, str(inner))
                item = self.read(value, inner, full)
                if item is not _UNREADABLE:
                    self.no_targets(inner, item, full)

    def note_other_choices(self, chosen: ChosenBy, path: str, schema: type | None) -> None:
        own = {field.name for field in dataclasses.fields(schema)} if schema else set()
        for choice, other in chosen.choices.items():
            for field in dataclasses.fields(other):
                if field.name not in own:
                    self.elsewhere.setdefault(join(path, field.name), []).append(choice)

    def chosen(
        self, value: Any, chosen: ChosenBy, path: str, parent: DictConfig, is_built: bool = False
    ) -> None:
        holder = value if chosen.inside else parent
        name = None
        if isinstance(holder, DictConfig) and chosen.sibling in holder:
            name = self.read(holder, chosen.sibling, path, quiet=True)
        schema = chosen.choices.get(str(name), chosen.other)
        if chosen.inside:
            self.note_other_choices(chosen, path, schema)
        if schema is not None:
            self.node(value, schema, path, is_built)
        elif chosen.inside:  # beside it, the choice is reported at its own key
            expected = _expected(name, Literal[tuple(chosen.choices)])  # type: ignore[valid-type]
            self.add(join(path, chosen.sibling), expected)

    def target(self, value: Any, group: str, path: str) -> None:
        if not isinstance(value, DictConfig):
            self.add(path, f"expected a group of keys with a _target_, got {show(plain(value))}")
            return
        self.known.add(join(path, "_target_"))
        name = self.read(value, "_target_", join(path, "_target_")) if "_target_" in value else None
        if name is _UNREADABLE:
            return
        schema = SCHEMAS[group].get(name) if isinstance(name, str) else None
        if schema is None:
            self.add(join(path, "_target_"), target_problem(name, SCHEMAS[group]))
            for inner in value:
                if inner != "_target_":
                    self.no_targets(
                        inner, self.read(value, inner, path, quiet=True), join(path, str(inner))
                    )
        elif isinstance(schema, ChosenBy):
            self.chosen(value, schema, path, value, is_built=True)
        else:
            self.node(value, schema, path, is_built=True)

    def on_disk(self, value: Any, extras: tuple[Any, ...], path: str) -> None:
        wanted = next((extra for extra in extras if isinstance(extra, OnDisk)), None)
        if wanted is None or not isinstance(value, str):
            return
        place = Path(value).expanduser()
        if not (wanted.holds(place)):
            why = "that is something else" if place.exists() else "nothing is there"
            self.add(
                path, f"expected the path of a {wanted.kind}, got {show(value)}: {why}", "disk"
            )


def join(path: str, name: str) -> str:
    """Return the dotted key of `name` under `path`."""
    return f"{path}.{name}" if path else name


def plain(value: Any) -> Any:
    """Return plain lists and dicts of a configuration node, interpolations as written."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is typing.Annotated:
        return get_args(hint)[0], hint.__metadata__
    return hint, ()


def _is_name(extras: tuple[Any, ...]) -> bool:
    return any(isinstance(extra, AsTyped) for extra in extras)


def _fits(value: Any, base: Any, extras: tuple[Any, ...]) -> bool:
    bounds: Iterator[Bounds] = (extra for extra in extras if isinstance(extra, Bounds))
    if base is Any:
        return True
    if get_origin(base) is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(base))
    if base in (None, types.NoneType):
        return value is None
    if base is str and _is_name(extras):
        return isinstance(value, str) and unicodedata.is_normalized("NFC", value)
    if base is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and all(bound.holds(value) for bound in bounds)
    if base is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and all(bound.holds(value) for bound in bounds)
    return isinstance(value, base)


def _expected(value: Any, hint: Any, path: str = "") -> str:
    words = [str(one) for one in _literals(hint)]
    meant = nearest(value, words) if isinstance(value, str) else ""
    quote = ""
    if isinstance(value, int | float) and describe(hint).startswith("text"):
        quote = (
            f"; to the command line numbers are text in quotes twice: {path}=\"'{show(value)}'\""
        )
    return f"expected {describe(hint)}, got {show(plain(value))}{meant}{quote}"


def _literals(hint: Any) -> list[Any]:
    base = _unwrap(hint)[0]
    if get_origin(base) is Literal:
        return list(get_args(base))
    if get_origin(base) in (Union, types.UnionType):
        return [one for option in get_args(base) for one in _literals(option)]
    return []
