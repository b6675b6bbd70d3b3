"""What is wrong with given options, in our words: pydantic judges, this says what was expected.

pydantic names its own types and one line an alternative of a union; here each key gets one line, in
the words of its declaration.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from seglab.core.describe import describe
from seglab.core.errors import nearest
from seglab.core.options import BROKEN_RULE, AsTyped, OnDisk, OneOf, Options
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show, show_names


def problems_of(hint: Any, value: Any, path: str = "", context: str | None = None) -> list[Problem]:
    """Return every difference between a value and its declaration.

    Args:
        hint: A subclass of `Options`, or the type of one option.
        value: Plain dicts, lists and scalars.
        path: Key of the value; all keys in the problems begin with it.
        context: `COMPOSE` to let names in decomposed form pass, as `Options.read` does.

    Returns:
        Problems as in `Problem`; an `unknown` one has the value that came as its text.
    """
    try:
        _adapter(hint).validate_python(value, context=context)
    except ValidationError as error:
        found: dict[tuple[str, str], Problem] = {}
        for one in error.errors(include_url=False):
            for problem in _problems_at(hint, value, path, one):
                # Alternatives of a union are looked at together, at the first of their errors.
                rule = problem.text if problem.kind == "rule" else ""
                found.setdefault((problem.key, rule), problem)
        return list(found.values())
    return []


def keys_of(hint: Any, path: str = "") -> list[str]:
    """Return the dotted keys of all options, those inside others too."""
    base = unwrap(hint)[0]
    if is_union(base):
        return [key for one in get_args(base) for key in keys_of(one, path)]
    if not is_options(base):
        return []
    keys = []
    for name, inner in hints_of(base).items():
        full = join(path, name)
        keys += [full, *keys_of(inner, full)]
    return keys


def suggest(
    problem: Problem,
    known: Collection[str],
    elsewhere: Mapping[str, list[str]] | None = None,
    told: Mapping[str, str] | None = None,
) -> Problem:
    """Return an `unknown` problem with what may have been meant; any other as it is.

    Args:
        problem: As of `problems_of`.
        known: All keys there are.
        elsewhere: Keys of choices that were not made, with those choices.
        told: Keys that other tools have, with what is said to them.
    """
    if problem.kind != "unknown":
        return problem
    if told and problem.key in told:
        text = f"no such key, got {problem.text}; {told[problem.key]}"
        return Problem(problem.key, text, "unknown")
    parent = known_above(problem.key, known)
    named = [one.rpartition(".") for one in known if not one.endswith("]")]
    here = sorted(leaf for above, _, leaf in named if above == parent)
    place = f"'{parent}' takes" if parent else "the top level takes"
    meant = did_you_mean(nearest_keys(problem.key, known))
    allowed = f"{place} {show_names(here)}" if here else f"'{parent}' takes no keys"
    if elsewhere and problem.key in elsewhere:
        allowed = f"it goes with {parent}={show_names(elsewhere[problem.key])}"
        meant = ""
    return Problem(problem.key, f"no such key{meant}, got {problem.text}; {allowed}", "unknown")


def known_above(key: str, known: Collection[str]) -> str:
    """Return the nearest known node around a key; empty for the top level."""
    above = key.rpartition(".")[0]
    while above and above not in known:
        above = above.rpartition(".")[0]
    return above


@cache
def hints_of(schema: type[Options]) -> dict[str, Any]:
    """Return the type of each option, with what annotates it."""
    hints = get_type_hints(schema, include_extras=True)
    return {name: hints[name] for name in schema.model_fields}


def unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type and what annotates it."""
    if get_origin(hint) is typing.Annotated:
        return get_args(hint)[0], hint.__metadata__
    return hint, ()


def is_union(base: Any) -> bool:
    """Whether a type has alternatives."""
    return get_origin(base) in (Union, types.UnionType)


def is_options(base: Any) -> bool:
    """Whether a type is a declaration of options."""
    return isinstance(base, type) and issubclass(base, Options)


def join(path: str, name: str) -> str:
    """Return the dotted key of `name` under `path`."""
    return f"{path}.{name}" if path else name


def _adapter(hint: Any) -> TypeAdapter[Any]:
    return _adapter_of_type(hint) if is_options(hint) else _strict(hint)


@cache
def _adapter_of_type(schema: type[Options]) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _strict(hint: Any) -> TypeAdapter[Any]:
    is_model = is_options(unwrap(hint)[0])  # brings a configuration of its own
    return TypeAdapter(hint, config=None if is_model else {"strict": True, "allow_inf_nan": False})


def _problems_at(hint: Any, value: Any, path: str, error: ErrorDetails) -> Iterator[Problem]:
    """Yield what one error of pydantic comes down to."""
    loc: tuple[Any, ...] = error["loc"]
    for place, step in enumerate(loc):
        base = unwrap(hint)[0]
        if is_options(base) and isinstance(value, Mapping):
            path = join(path, str(step))
            if step not in base.model_fields:
                yield from _unknown(value[step], path)
                return
            if step not in value:
                yield Problem(path, "missing; it must be in the configuration", "missing")
                return
            hint, value = hints_of(base)[step], value[step]
            continue
        below = _item(base, value, path, step, loc[place + 1 : place + 2] == ("[key]",))
        if below is None:
            break
        hint, value, path = below
    if error["type"] == BROKEN_RULE:
        yield from (Problem(path, text, "rule") for text in error["ctx"]["texts"])
    else:
        yield from _wrong(hint, value, path, error["type"])


def _item(base: Any, value: Any, path: str, step: Any, is_key: bool) -> tuple[Any, Any, str] | None:
    """Return type, value and path of an item of a dict, list or tuple; None where there is none."""
    origin, inner = get_origin(base), get_args(base)
    if origin is dict and is_key:
        return inner[0], step, join(path, str(step))
    if origin is dict and isinstance(value, Mapping) and step in value:
        return inner[1], value[step], join(path, str(step))
    if origin in (list, tuple) and isinstance(step, int) and step < len(value):
        place = step if origin is tuple and Ellipsis not in inner else 0
        return inner[place], value[step], f"{path}[{step}]"
    return None


def _wrong(hint: Any, value: Any, path: str, kind: str) -> Iterator[Problem]:
    base, extras = unwrap(hint)
    if is_union(base):
        yield from _none_fits(hint, value, path)
    elif kind == OnDisk.__name__:
        wanted = next(extra for extra in extras if isinstance(extra, OnDisk))
        there = OnDisk("file or folder").holds(value)
        why = "that is something else" if there else "nothing is there"
        text = f"expected the path of a {wanted.kind}, got {show(value)}: {why}"
        yield Problem(path, text, "disk")
    else:
        is_name = any(isinstance(extra, AsTyped) for extra in extras)
        yield Problem(path, expected(value, hint, path), "text" if is_name else "value")


def _none_fits(hint: Any, value: Any, path: str) -> Iterator[Problem]:
    attempts = [problems_of(one, value, path) for one in get_args(unwrap(hint)[0])]
    # An alternative that took the value's form and found something inside knows better.
    deeper = [found for found in attempts if any(one.key != path for one in found)]
    if deeper:
        yield from deeper[0]
        return
    kinds = [found[0].kind for found in attempts if found]
    why = "; there is no such path" if "disk" in kinds else ""
    yield Problem(path, expected(value, hint, path) + why, "text" if "text" in kinds else "value")


def _unknown(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, Mapping) and value:
        # Name the leaf the user wrote, not the group that came to be around it.
        for key, inner in value.items():
            yield from _unknown(inner, join(path, str(key)))
    else:
        yield Problem(path, show(value), "unknown")


def expected(value: Any, hint: Any, path: str = "") -> str:
    """Return what a type admits, what came, and what may have been meant."""
    words = [str(one) for one in literals_of(hint)]
    meant = nearest(value, words) if isinstance(value, str) else ""
    quote = ""
    if isinstance(value, int | float) and describe(hint).startswith("text"):
        quote = (
            f"; to the command line numbers are text in quotes twice: {path}=\"'{show(value)}'\""
        )
    return f"expected {describe(hint)}, got {show(value)}{meant}{quote}"


def literals_of(hint: Any) -> list[Any]:
    """Return the values that a type lists one by one."""
    base, extras = unwrap(hint)
    if get_origin(base) is Literal:
        return list(get_args(base))
    if named := [extra for extra in extras if isinstance(extra, OneOf)]:
        return list(named[0].names)
    if is_union(base):
        return [one for option in get_args(base) for one in literals_of(option)]
    return []
