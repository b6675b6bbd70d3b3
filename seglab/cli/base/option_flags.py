"""Flags of a command that follow from a declaration: one a field, with its sentence as help."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar

import yaml

from seglab.config.declared.key_help import sentences
from seglab.core.describe import describe
from seglab.core.errors import ConfigError
from seglab.core.option_problems import hints_of
from seglab.core.options import Options
from seglab.core.problems import show

_Declared = TypeVar("_Declared", bound=Options)


def add_option_flags(parser: argparse._ActionsContainer, options: type[Options]) -> None:
    """Add a flag a field, such as `--max-hash-distance` for `max_hash_distance`.

    Args:
        parser: The parser of the command, or a group of it.
        options: The declaration; every field has a default.
    """
    for name, field in options.model_fields.items():
        sentence = " ".join(sentences(options)[name].split()).replace("`", "").replace("%", "%%")
        default = field.get_default(call_default_factory=True)
        said = "" if default is None else f" (default {show(_as_typed(default))})"
        parser.add_argument(
            _flag(name),
            dest=f"option_{name}",
            metavar="VALUE",
            help=f"{describe(hints_of(options)[name])}: {sentence}{said}",
        )


def read_option_flags(args: argparse.Namespace, options: type[_Declared]) -> _Declared:
    """Return what was typed as the declared options.

    A value is read as YAML; several values of a list stand with commas between them.

    Raises:
        ConfigError: With every mistake, each with its flag.
    """
    given = {
        name: _value(text, options, name)
        for name in options.model_fields
        if (text := getattr(args, f"option_{name}")) is not None
    }
    problems = options.problems(given)
    if problems:
        keys = sorted(given, key=len, reverse=True)
        raise ConfigError([_with_flag(problem, keys) for problem in problems])
    return options.read(given)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _as_typed(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _value(text: str, options: type[Options], name: str) -> Any:
    hint = str(hints_of(options)[name])
    if "tuple[" in hint or "list[" in hint:
        return [part.strip() for part in text.strip("[]").split(",") if part.strip()]
    if hint.startswith("str"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _with_flag(problem: str, keys: list[str]) -> str:
    name = next((key for key in keys if problem.startswith((f"{key}:", f"{key}["))), "")
    return f"{_flag(name)}{problem.removeprefix(name)}" if name else problem
