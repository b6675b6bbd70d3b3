"""Words such as `bundle=DIR batch_size=8` of a command that runs where Hydra is not installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml

from seglab.config.declared.key_help import Key, keys_below
from seglab.core.errors import ConfigError, nearest
from seglab.core.options import Options

_Declared = TypeVar("_Declared", bound=Options)
# A declaration of text, also one with rules and one that may be null.
_TEXT = re.compile(r"(typing\.)?(Optional\[)?(typing\.)?(Annotated\[)?(str\b|<class 'str')")


def asks_for_help(argv: Sequence[str]) -> bool:
    """Tell whether the words ask for help."""
    return any(word in ("-h", "--help") for word in argv)


def print_word_help(
    command: str, summary: str, options: type[Options], examples: Sequence[tuple[str, str]] = ()
) -> int:
    """Print what a command does, examples, and each of its options; return the exit code."""
    width = max((len(words) for words, _ in examples), default=0)
    lines = [f"usage: seglab {command} key=value ...", "", summary, ""]
    lines += [f"  {words:<{width}}  {says}" for words, says in examples]
    lines += ["", "keys:"]
    for key in _keys(options):
        lines += key.lines()
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def read_words(argv: Sequence[str], options: type[_Declared], command: str) -> _Declared:
    """Return the words as declared options; values are read as YAML, text keys as they stand.

    Args:
        argv: Each `key=value`; a list is `[a,b]` or `a,b`, a key of a group `group.key=value`.
        options: The declaration.
        command: For messages.

    Raises:
        ConfigError: With every mistake: words that are no `key=value`, keys given twice or unknown,
            values out of range, keys that are missing.
    """
    found: list[str] = []
    given: dict[str, object] = {}
    known = {key.name: key.hint for key in _keys(options)}
    for word in argv:
        key, equals, text = word.partition("=")
        key = key.removeprefix("--").replace("-", "_") if word.startswith("--") else key
        if not equals:
            found.append(
                f"'{word}': expected key=value, such as {_asked_for_first(options)[0]}=VALUE"
            )
        elif key in given:
            found.append(f"{key}: given twice")
        elif key not in known:
            found.append(f"{key}: no such key{_meant(key, known)}; see seglab {command} --help")
        else:
            given[key] = _value(text, str(known[key]))
    content = _nested(given)
    found += [_as_word(problem) for problem in options.problems(content)]
    if found:
        raise ConfigError(found)
    return options.read(content)


def _meant(key: str, known: Mapping[str, object]) -> str:
    """Return what somebody who wrote an unknown key may have meant."""
    if key == "run" and "bundle" in known:
        return ": a run becomes a bundle by `seglab export run=RUN_DIR`, and bundle= takes that"
    return nearest(key, known)


def _asked_for_first(options: type[Options]) -> list[str]:
    """Return the keys in their order, those that have to be given before those that may."""
    fields = options.model_fields
    return sorted(fields, key=lambda name: not fields[name].is_required())


def _keys(options: type[Options]) -> list[Key]:
    """Return the keys in the same order, those of groups below their group."""
    order = _asked_for_first(options)
    return sorted(keys_below(options), key=lambda key: order.index(key.name.partition(".")[0]))


def _nested(given: dict[str, object]) -> dict[str, Any]:
    """Return groups for the keys with a dot."""
    content: dict[str, Any] = {}
    for key, value in given.items():
        group, dot, name = key.partition(".")
        if not dot:
            content.setdefault(group, value)
        elif isinstance(held := content.setdefault(group, {}), dict):
            held[name] = value
    return content


def _as_word(problem: str) -> str:
    key, _, rest = problem.partition(": ")
    return f"{key}: missing; give {key}=VALUE" if rest.startswith("missing;") else problem


def _value(text: str, hint: str) -> object:
    if text in ("null", "None") and ("None" in hint or "Optional[" in hint):
        return None
    if "tuple[" in hint or "list[" in hint:
        if not text.startswith("["):
            text = f"[{text}]"
    elif _TEXT.match(hint) or "str | None" in hint:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
