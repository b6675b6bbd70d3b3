"""Values as text in Hydra's grammar, so that each is read back as it was: text, numbers, lists.

Whoever makes a word of a command line from a path or a name makes it with `literal_word`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.overrides_visitor import HydraOverrideVisitor
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import CommonTokenStream, InputStream, OverrideLexer  # type: ignore[attr-defined]
from hydra.grammar.gen.OverrideParser import OverrideParser

from seglab.core.errors import ConfigError
from seglab.core.problems import show

Scalar = None | bool | int | float | str
_PLAIN_INSIDE = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_WORDS_OF_GRAMMAR = ("true", "false", "null", "inf", "nan")


def write_value(value: Any) -> str:
    """Return the text after `=` that Hydra reads as `value`; floats keep every digit.

    Raises:
        ConfigError: There is no such text.
    """
    value = value.tolist() if hasattr(value, "tolist") else value  # a number or array of NumPy
    text = _write(value)
    try:
        fits = text is not None and _same(read_value(text), value)
    except ConfigError:
        fits = False  # such as a key of a mapping that looks like a number
    if text is None or not fits:
        raise ConfigError(
            f"expected text, a number, true, false, null or a list, got {show(value)}"
        )
    return text


def literal_word(key: str, value: Any) -> str:
    """Return the word `key=value` from which a configuration gets this very value.

    Args:
        key: Dotted key or name of a group, with its signs.
        value: A path, a text, a number, or a list of such. `${` in it is no interpolation.
    """
    return f"{key}={write_value(as_literal(value))}"


def as_literal(value: Any) -> Any:
    """Return a value as a configuration must hold it, so that no text in it is an interpolation."""
    if isinstance(value, Mapping):
        return {key: as_literal(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_literal(one) for one in value]
    if isinstance(value, PurePath):
        value = str(value)
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def read_value(text: str) -> Any:
    """Return the value that a text after `=` stands for.

    Raises:
        ConfigError: It cannot be read, or stands for several.
    """
    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except HydraException as error:
        raise ConfigError(f"cannot be read: {text}: {str(error).splitlines()[0]}") from error
    if override.is_sweep_override():
        raise ConfigError(f"expected one value, got several: {text}")
    return override.value()


def read_as_typed(text: str) -> Any:
    """Return the value that a text after `=` stands for, each of its words as text as it was typed.

    `[no,1e3,null]` is three words here, where `read_value` returns text, a number and nothing.
    """
    lexer = OverrideLexer(InputStream(text))
    lexer.mode(OverrideLexer.VALUE_MODE)
    tree = OverrideParser(CommonTokenStream(lexer)).value()
    return _unquoted(_WordsAsTyped(create_functions()).visit(tree))


class _WordsAsTyped(HydraOverrideVisitor):
    def visitPrimitive(self, ctx: Any) -> Any:  # noqa: N802  the name that Hydra calls
        value = super().visitPrimitive(ctx)
        return value if isinstance(value, str | QuotedString) else ctx.getText().strip()


def scalar_of(value: Any) -> Scalar:
    """Return a value as a search can hold it: text stays text where it cannot be mistaken.

    Lists, mappings and text that would be read as something else (`'1'`, `'a,b'`) become their text
    in the grammar, so what a search holds is always what is written after `=`.
    """
    if isinstance(value, QuotedString):
        value = value.text
    if value is None or isinstance(value, bool | int | float):
        return value
    return write_value(_unquoted(value))


def write_scalar(value: Scalar) -> str:
    """Return the text after `=` for what `scalar_of` returned."""
    return value if isinstance(value, str) else write_value(value)


def read_scalar(value: Scalar) -> Any:
    """Return the value that `scalar_of` was given."""
    return read_value(value) if isinstance(value, str) else value


def _unquoted(value: Any) -> Any:
    """Return lists and mappings with what the parser keeps of quotes taken away."""
    return Override._convert_value(value)


def _write(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    return _write_inside(value)


def _write_inside(value: Any) -> str | None:
    """Return text of something in a list or mapping, where more characters have a meaning."""
    if isinstance(value, str):
        plain = _PLAIN_INSIDE.fullmatch(value) and value.lower() not in _WORDS_OF_GRAMMAR
        return value if plain else _quoted(value)
    if isinstance(value, list | tuple):
        parts = [_write_inside(item) for item in value]
        return None if None in parts else "[" + ",".join(map(str, parts)) + "]"
    if isinstance(value, Mapping):
        # The grammar has no quotes around keys.
        keys = [Override._get_value_element_as_str(str(key)) for key in value]
        items = [_write_inside(item) for item in value.values()]
        pairs = [f"{key}:{item}" for key, item in zip(keys, items, strict=True)]
        return None if None in items else "{" + ",".join(pairs) + "}"
    return _write(value) if value is None or isinstance(value, bool | int | float) else None


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


@lru_cache(maxsize=1024)
def _is_plain(text: str) -> bool:
    try:
        read = read_value(text)
    except ConfigError:
        return False
    return isinstance(read, str) and read == text


def _same(read: Any, meant: Any) -> bool:
    if isinstance(meant, list | tuple):
        return isinstance(read, list) and len(read) == len(meant) and all(map(_same, read, meant))
    if isinstance(meant, Mapping):
        return (
            isinstance(read, dict)
            and read.keys() == meant.keys()
            and all(_same(read[key], meant[key]) for key in meant)
        )
    return type(read) is type(meant) and (read == meant or read != read)
