"""`seglab cv collect`: joins folds that were trained one by one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from seglab.cli.base.subcommands import parse_subcommand
from seglab.core.errors import ConfigError

DESCRIPTION = """\
Cross-validation is `seglab train cv=grouped cv.folds=5`: all folds in one command. On a cluster each
fold can be a job of its own, `seglab train cv=grouped cv.folds=5 cv.fold=0` and so on; `seglab cv
collect` then joins the finished folds into one record with mean, interval and pooled scores."""


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: The words are wrong, or the runs are no folds of one cross-validation.
    """
    args = parse_subcommand(build_parser(), argv)
    from seglab.experiment.cv.join_folds import collect
    from seglab.runs import RunRecord, find_runs

    found = {path: find_runs(path) for path in args.runs}
    missing = [path for path, runs in found.items() if not runs]
    if missing:
        raise ConfigError([f"cv collect: no run at {path}" for path in missing])
    folders = [folder for runs in found.values() for folder in runs]
    folds = [folder for folder in folders if RunRecord(folder).read()["kind"] == "fold"]
    if not folds:
        raise ConfigError(
            "cv collect: none of these runs is a fold; train them with cv=SCHEME cv.fold=NUMBER"
        )
    collect(folds)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="seglab cv",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    collect = commands.add_parser("collect", help="join folds trained with cv.fold=N")
    collect.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="the folds' run folders, or a folder that holds them (other kinds of run are left out)",
    )
    return parser
