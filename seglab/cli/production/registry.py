"""`seglab registry`: which bundle is the champion, since when, and why; needs neither torch nor Hydra."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from seglab.bundle.aliases import ALIASES, locate_bundle
from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.cli.base.subcommands import parse_subcommand
from seglab.core.disk.urls import local_path
from seglab.core.errors import ConfigError
from seglab.core.options import Options
from seglab.core.text.escape import one_line
from seglab.deploy.registry import options as declared


class _Command(NamedTuple):
    options: type[Options]
    work: Callable[[Any], int]
    bare: str | None  # the key that a word without `=` is the value of
    summary: str
    example: str = ""


def run(argv: Sequence[str]) -> int:
    """Run a sub-command and return the exit code; `verify` returns 1 where something is wrong.

    Raises:
        ConfigError: The words are wrong.
    """
    parse_subcommand(build_parser(), argv[:1])
    name, words = argv[0], list(argv[1:])
    command = _COMMANDS[name]
    if asks_for_help(words):
        summary = f"{command.summary[0].upper()}{command.summary[1:]}."
        examples = [(f"seglab registry {name} {command.example}".rstrip(), "")]
        return print_word_help(f"registry {name}", summary, command.options, examples)
    if command.bare is not None:
        words = [one if "=" in one else f"{command.bare}={one}" for one in words]
    return command.work(read_words(words, command.options, f"registry {name}"))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the sub-commands' names; each reads its own words."""
    parser = argparse.ArgumentParser(
        prog="seglab registry",
        description="Bundles in a folder: which one is the champion, since when, and why.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)
    return parser


def _open(options: declared.InRegistry) -> Any:
    from seglab.deploy.registry.registry import Registry

    return Registry(local_path(options.registry))


def _add(options: declared.AddOptions) -> int:
    registry = _open(options)
    name = registry.add(locate_bundle(options.bundle), options.why, options.challenger)
    _say(f"{name} is in {registry.folder}{_named(registry, name)}")
    return 0


def _promote(options: declared.PromoteOptions) -> int:
    registry = _open(options)
    name = registry.promote(options.bundle, options.why)
    before = registry.aliases["previous"]
    _say(f"{name} is the champion of {registry.folder}" + (f"; before: {before}" if before else ""))
    return 0


def _rollback(options: declared.RollbackOptions) -> int:
    registry = _open(options)
    left = registry.aliases["champion"]
    name = registry.rollback(options.why)
    _say(f"{name} is the champion of {registry.folder} again, instead of {left}")
    return 0


def _list(options: declared.InRegistry) -> int:
    from seglab.deploy.registry.describe import list_lines

    _say(*list_lines(_open(options)))
    return 0


def _show(options: declared.ShowOptions) -> int:
    from seglab.deploy.registry.describe import show_lines

    registry = _open(options)
    _say(*show_lines(registry, registry.place(options.bundle).name))
    return 0


def _at(options: declared.AtOptions) -> int:
    from seglab.deploy.registry.describe import entry_line

    registry = _open(options)
    time = _read_time(options.time)
    entry = registry.champion_at(time)
    if entry is None:
        _say(f"no champion at {time.isoformat()}: the first one was promoted later")
        return 1
    _say(f"{entry.champion}  {registry.place(str(entry.champion))}", entry_line(entry))
    return 0


def _verify(options: declared.InRegistry) -> int:
    registry = _open(options)
    found = registry.problems()
    for problem in found:
        sys.stderr.write(f"{one_line(problem)}\n")
    if not found:
        count = len(registry.entries())
        _say(
            f"{registry.folder}: every bundle is as it was exported, and the log's {count} entries"
        )
    return 1 if found else 0


def _publish(options: declared.PublishOptions) -> int:
    from seglab.deploy.registry.publish import publish_mlflow, publish_wandb

    registry = _open(options)
    if options.wandb is None and options.mlflow is None:
        raise ConfigError("wandb, mlflow: give wandb=PROJECT, mlflow=URI, or both")
    if options.wandb is not None:
        _say(*publish_wandb(registry, options.wandb, options.name))
    if options.mlflow is not None:
        _say(*publish_mlflow(registry, options.mlflow, options.name))
    return 0


def _read_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"time: expected ISO 8601, such as 2026-11-27T09:00+01:00, got '{text}'"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _named(registry: Any, name: str) -> str:
    named = [alias for alias in ALIASES if registry.aliases[alias] == name]
    return f", {' and '.join(named)}" if named else ""


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))


_COMMANDS = {
    "add": _Command(
        declared.AddOptions, _add, "bundle", "copy a bundle into the registry", "bundles/unet"
    ),
    "list": _Command(declared.InRegistry, _list, None, "the bundles, and which is the champion"),
    "show": _Command(
        declared.ShowOptions, _show, "bundle", "a bundle and what was done with it", "champion"
    ),
    "promote": _Command(
        declared.PromoteOptions, _promote, "bundle", "make a bundle the champion", "challenger"
    ),
    "rollback": _Command(declared.RollbackOptions, _rollback, None, "back to the champion before"),
    "at": _Command(
        declared.AtOptions,
        _at,
        "time",
        "which model was the champion at a time",
        "2026-11-27T09:00",
    ),
    "publish": _Command(
        declared.PublishOptions, _publish, None, "show it in Weights & Biases or MLflow too"
    ),
    "verify": _Command(declared.InRegistry, _verify, None, "check every bundle and the log"),
}
