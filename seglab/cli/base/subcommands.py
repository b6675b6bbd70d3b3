"""Commands that have commands of their own, such as `seglab data describe`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from seglab.core.errors import ConfigError, nearest


def subcommands(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of the commands of a parser; none where it has only flags."""
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return [name for part in parts for name in part.choices]


def parse_subcommand(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Read the words of a command whose first word is a command too.

    Args:
        parser: Of all sub-commands.
        argv: The words.

    Raises:
        ConfigError: There is no such sub-command; the message names the nearest. Or words are unknown of
            which the sub-command can tell how they are typed, by `set_defaults(typed=...)`.
    """
    words, commands = list(argv), subcommands(parser)
    if words and not words[0].startswith("-") and words[0] not in commands:
        raise ConfigError(
            f"no such command '{words[0]}'{nearest(words[0], commands)}; commands are "
            f"{', '.join(commands)}"
        )
    args, unknown = parser.parse_known_args(words)
    typed = args.typed(args, unknown) if unknown and hasattr(args, "typed") else []
    if typed:
        raise ConfigError(typed)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args
