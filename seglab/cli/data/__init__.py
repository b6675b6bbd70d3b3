"""`seglab data`: one module a sub-command, with its flags and its work; only reads the flags here."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from seglab.cli.base.subcommands import parse_subcommand
from seglab.cli.commands import Command

# Each module holds `add_flags(parser)` and `work(args) -> int`.
DATA_COMMANDS = {
    "agreement": Command(
        "seglab.cli.data.annotation.agreement", "how far annotators agree, by class"
    ),
    "audit": Command(
        "seglab.cli.data.cleaning.audit", "find faulty files, duplicates and wrong labels"
    ),
    "clean": Command(
        "seglab.cli.data.cleaning.clean", "carry out decisions as a new version of a manifest"
    ),
    "describe": Command("seglab.cli.data.describe", "print splits, classes, sizes and warnings"),
    "diff": Command(
        "seglab.cli.data.cleaning.diff", "what changed between two versions of a manifest"
    ),
    "export": Command(
        "seglab.cli.data.annotation.export", "write annotations for a labelling tool"
    ),
    "honeypots": Command(
        "seglab.cli.data.annotation.honeypots",
        "work lists for annotators, known images hidden among them",
    ),
    "import": Command("seglab.cli.data.importing", "write the manifest of a data set"),
    "instructions": Command(
        "seglab.cli.data.annotation.instructions", "a page for annotators, from the data"
    ),
    "preview": Command("seglab.cli.data.preview", "draw what an augmentation does to samples"),
    "review": Command(
        "seglab.cli.data.annotation.review", "a random sample of masks as a sheet for reviewers"
    ),
    "review-result": Command(
        "seglab.cli.data.annotation.review_result", "what reviewers' decisions show"
    ),
    "shares": Command("seglab.cli.data.shares", "tell what a training would see of each class"),
    "split": Command("seglab.cli.data.split", "share samples out so that no split leaks"),
    "synth": Command("seglab.cli.data.synth", "draw the roadside data set and write its manifest"),
    "undo": Command(
        "seglab.cli.data.cleaning.undo", "go back to the version a manifest was made from"
    ),
}

# Their --help says more than their flags.
_OWN_HELP = frozenset({"import"})


def run(argv: Sequence[str]) -> int:
    """Run the sub-command and return the exit code."""
    args = parse_subcommand(build_parser(), argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("seglab").setLevel(logging.INFO)
    work: Callable[[argparse.Namespace], int] = args.work
    return work(args)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="seglab data", description="Work on data sets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in DATA_COMMANDS.items():
        module = command.load()
        one = commands.add_parser(name, help=command.summary, add_help=name not in _OWN_HELP)
        module.add_flags(one)
        one.set_defaults(work=module.work)
    return parser
