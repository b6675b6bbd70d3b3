"""`seglab review`: one module a sub-command; which images to label next, and their labels taken back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from seglab.cli.base.subcommands import parse_subcommand
from seglab.cli.commands import Command

DESCRIPTION = (
    "What to label next of what a service was asked, to an annotation tool and back as a new version of a "
    "manifest. (seglab data review is another thing: it draws masks that are there for reviewers to check.)"
)
# Each module holds `run(argv) -> int`, its words are `key=value`.
REVIEW_COMMANDS = {
    "queue": Command("seglab.cli.review.queue", "choose what to label next, a share at random"),
    "push": Command("seglab.cli.review.push", "give a queue to an annotation tool"),
    "take": Command("seglab.cli.review.take", "take the annotations as a version of a manifest"),
    "report": Command("seglab.cli.review.report", "how far a queue is, and what its labels say"),
}


def run(argv: Sequence[str]) -> int:
    """Run the sub-command and return the exit code."""
    if argv and argv[0] in REVIEW_COMMANDS:
        module = REVIEW_COMMANDS[argv[0]].load()
        code: int = module.run(argv[1:])
        return code
    parse_subcommand(build_parser(), argv)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands; their words are read by themselves."""
    parser = argparse.ArgumentParser(prog="seglab review", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in REVIEW_COMMANDS.items():
        commands.add_parser(name, help=command.summary)
    return parser
