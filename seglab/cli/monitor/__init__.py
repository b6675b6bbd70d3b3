"""`seglab monitor`: one module a sub-command, whose words are `key=value`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from seglab.cli.base.subcommands import parse_subcommand
from seglab.cli.commands import Command

# Each module holds `run(argv) -> int`.
MONITOR_COMMANDS = {
    "report": Command("seglab.cli.monitor.report", "write a period of service as an HTML page"),
    "watch": Command("seglab.cli.monitor.watch", "judge the latest requests, and tell people"),
    "silence": Command("seglab.cli.monitor.silence", "keep alerts quiet for some hours"),
    "backfill": Command("seglab.cli.monitor.backfill", "log images that were not logged"),
}


def run(argv: Sequence[str]) -> int:
    """Run the sub-command and return the exit code."""
    parse_subcommand(build_parser(), argv[:1])
    return int(MONITOR_COMMANDS[argv[0]].load().run(argv[1:]))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the sub-commands' names; each reads its own words."""
    parser = argparse.ArgumentParser(
        prog="seglab monitor", description="Watch a model in service by the log of its requests."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in MONITOR_COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)
    return parser
