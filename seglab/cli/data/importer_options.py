"""The flags of the sub-commands that import, and how `--option KEY=VALUE` is read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.core.errors import ConfigError
from seglab.core.text.option_words import option_word, typed_as_flags
from seglab.core.text.shell import shell_command


def add_importer_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every sub-command that imports."""
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="an option of the importer, value in YAML; may be repeated",
    )
    parser.add_argument(
        "--on-error",
        choices=("raise", "quarantine"),
        default="raise",
        help="what to do with faulty files: stop (default), or list them and leave them out",
    )


def options_without_flag(args: argparse.Namespace, unknown: Sequence[str]) -> list[str]:
    """Return how words are typed that name options of the importer, as `--masks=DIR` or `masks=DIR`."""
    from seglab.data.importers.opening import declared_options

    known = declared_options(args.importer).model_fields
    problems = []
    for word, after in zip(unknown, [*unknown[1:], "-"], strict=True):
        key, sign, value = word.lstrip("-").partition("=")
        if key in known and (sign or word.startswith("--")):
            value = value if sign else "VALUE" if after.startswith("-") else after
            with typed_as_flags():
                problems.append(
                    f"'{word}' is an option of {args.importer}: {option_word(key, value)}"
                )
    return problems


class ImporterHelp(argparse.Action):
    """`IMPORTER --help`: the flags, then the options of the importer that is named before it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any
    ) -> None:
        """Print and stop, as argparse's own help does."""
        text = parser.format_help()
        if namespace.importer is not None:
            text += f"\n{importer_help(namespace.importer)}"
        sys.stdout.write(text)
        parser.exit()


def importer_help(importer: str) -> str:
    """Return the options of an importer: name, type, default and sentence, as they are declared.

    Raises:
        ConfigError: There is no such importer.
    """
    from seglab.config.declared.key_help import keys_below
    from seglab.core.parts.plugins import name_packages
    from seglab.data.importers.opening import declared_options

    if "." in importer:  # typed, so its code may be imported
        name_packages([importer])
    lines = [line for key in keys_below(declared_options(importer)) for line in key.lines()]
    head = f"options of {importer}, each given as --option KEY=VALUE:" if lines else ""
    return "\n".join([head or f"{importer} has no options", *lines, ""])


def parse_options(words: Sequence[str], importer: str) -> dict[str, Any]:
    """Return `KEY=VALUE` words as a dict, values read as YAML, names as they are typed.

    Raises:
        ConfigError: A word has no `=` or its value is no YAML; all are listed.
    """
    problems, options = [], {}
    for word in words:
        key, sign, text = word.partition("=")
        if not key or not sign:
            problems.append(f"--option: expected KEY=VALUE, got '{word}'")
            continue
        try:
            options[key] = _read_option(key, text, importer)
        except (yaml.YAMLError, OmegaConfBaseException):
            typed = shell_command("--option", f"{key}={json.dumps(text, ensure_ascii=False)}")
            problems.append(
                f"--option {key}: expected a value in YAML, got '{text}'; as text it is typed {typed}"
            )
    if problems:
        raise ConfigError(problems)
    return options


def _read_option(key: str, text: str, importer: str) -> Any:
    """Return the value of an option, read as in the files of the configuration."""
    from seglab.config.declared.check import as_written
    from seglab.config.typed_text import keys_of_names, mended
    from seglab.core.parts.components import components

    cfg = OmegaConf.create({key: OmegaConf.create(f"value:\n  {text}").value})
    value = as_written(cfg)[key]
    schema = components("importer").get(importer)
    if schema is None:
        return value  # the importer itself is refused then
    wrong = keys_of_names(cfg, schema)
    words = yaml.load(text, yaml.BaseLoader)  # noqa: S506  makes text, lists and mappings alone
    return mended(value, words, key, set().union(*wrong.values()))
