"""The options of a part that declares none: read off its signature and type hints."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, create_model

from seglab.core.options import Options

_PLAIN = (int, float, str, bool, type(None))


@cache
def options_of(
    found: Callable[..., Any],
    positional: int = 0,
    given: Collection[str] = (),
    base: type[Options] = Options,
) -> type[Options]:
    """Return what a class or function may be told, as a declaration.

    A hint that YAML cannot be held against (a tensor, a module, a function) admits anything, and so does
    a parameter without one; `**options` admit any further key.

    Args:
        found: The class or function.
        positional: Number of leading parameters that are given by position.
        given: Names of parameters that are given by seglab.
        base: What the declaration inherits: its own fields win over the signature's.
    """
    parameters = list(_signature(found).parameters.values())[positional:]
    hints = _hints(found)
    fields: dict[str, Any] = {}
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            continue
        if one.name in given or one.name in base.model_fields:
            continue
        default = ... if one.default is one.empty else one.default
        # A default says that it is admitted too: `width: int = None` is common.
        hint = _yaml_hint(hints.get(one.name, Any))
        fields[one.name] = (hint | None if default is None and hint is not Any else hint, default)
    declared = create_model(_name(found), __base__=base, __doc__=_sentence(found), **fields)
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        declared.model_config = ConfigDict(**{**declared.model_config, "extra": "allow"})
        declared.model_rebuild(force=True)
    return declared


def takes(found: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some arguments that a signature names, or takes as `**options`."""
    parameters = _signature(found).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return {name: value for name, value in names.items() if takes_any or name in parameters}


def _signature(found: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(found)
    except (ValueError, TypeError):  # a class in C has none
        parameter = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)
        return inspect.Signature([parameter])


def _hints(found: Callable[..., Any]) -> Mapping[str, Any]:
    source = found.__init__ if inspect.isclass(found) else found  # type: ignore[misc]
    try:
        return get_type_hints(source, include_extras=True)
    except Exception:  # noqa: BLE001 - a hint may be any text
        return {}


def _yaml_hint(hint: Any) -> Any:
    """Return a hint as far as YAML can hold it: lists for tuples, text for paths."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _PLAIN or origin in (Literal, Annotated) or hint is None:
        return hint
    if hint is Path:
        return Annotated[Path, Field(strict=False)]
    if origin in (Union, types.UnionType):
        options = [made for one in inner if (made := _yaml_hint(one)) is not Any]
        return Union[tuple(options)] if options and options != [type(None)] else Any  # noqa: UP007
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        parts = tuple(_yaml_hint(one) for one in inner)
        return Annotated[tuple[parts], Field(strict=False)]  # type: ignore[valid-type]
    if origin is tuple and inner:
        return list[_yaml_hint(inner[0])]  # type: ignore[misc]
    if origin in (list, Sequence, Iterable, Collection):
        return list[_yaml_hint(inner[0])]  # type: ignore[misc]
    if hint in (list, tuple):
        return list[Any]
    if hint is dict or origin is dict:
        return dict[str, Any]
    return Any


def _name(found: Callable[..., Any]) -> str:
    return getattr(found, "__name__", type(found).__name__)


def _sentence(found: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(found) or "").strip().splitlines()
    return lines[0] if lines else ""
