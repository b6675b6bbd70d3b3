"""The command `seglab`: finds the command asked for and hands over the rest of the words."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from seglab import __version__
from seglab.cli.base.reporting import guarded
from seglab.cli.commands import COMMANDS
from seglab.core.errors import nearest

_HELP = ("-h", "--help", "help")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command in `argv` (the process's own words by default) and exit with its code."""
    # A log line that cannot be written (`| head` has gone) is no reason for a traceback.
    logging.raiseExceptions = False
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run a command and return the exit code: 0 done, 1 failed, 2 wrong words, 130 interrupted."""
    if not argv or argv[0] in _HELP:
        sys.stdout.write(help_text())
        return 0
    name, rest = argv[0], argv[1:]
    if name == "--version":
        sys.stdout.write(f"seglab {__version__}\n")
        return 0
    if name in ("-sc", "--shell-completion", "--shell_completion"):
        from seglab.cli import completion

        return guarded("seglab", lambda: completion.run(rest))
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        sys.stderr.write(
            f"seglab: no such command '{name}'{nearest(name, COMMANDS)}; commands are {known}\n"
        )
        return 2
    module = COMMANDS[name].load()
    return guarded(f"seglab {name}", lambda: module.run(rest))


def help_text() -> str:
    """Return what `seglab --help` prints."""
    lines = [f"  {name:<10} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: seglab COMMAND ...",
            "",
            "A research harness for semantic segmentation.",
            "",
            "commands:",
            *lines,
            "",
            "seglab COMMAND --help says more; seglab --version prints the version.",
            'Completion in bash: eval "$(seglab -sc install=bash)"',
            "",
        ]
    )
