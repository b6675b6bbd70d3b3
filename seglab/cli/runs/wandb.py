"""`seglab wandb sync`: uploads runs that were recorded offline."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.cli.base.subcommands import parse_subcommand

if TYPE_CHECKING:
    from seglab.engine.tracking.wandb_sync import SyncItem, SyncResult

_EPILOG = """\
Runs are uploaded by their newest segment, which holds everything that earlier segments of the same
run logged; the record (run.json) then says when and where to. Runs that are still training are
passed over. Needs an API key (WANDB_API_KEY, or `wandb login` once) and a network; --dry-run needs
neither.
"""


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code: 1 where an upload failed."""
    return _sync(parse_subcommand(build_parser(), argv))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="seglab wandb", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "sync",
        help="upload runs that were recorded offline",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Upload runs that were recorded offline to Weights & Biases.",
    )
    one.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN",
        help="run folders; all below --runs-dir by default",
    )
    one.add_argument(
        "--runs-dir",
        type=Path,
        default=Path(os.environ.get("SEGLAB_RUNS", "runs")),
        metavar="DIR",
        help="folder of all runs (runs, or SEGLAB_RUNS)",
    )
    one.add_argument("--dry-run", action="store_true", help="only say what would be done")
    one.add_argument("--again", action="store_true", help="upload once more what is uploaded")
    one.add_argument("--entity", help="upload to this user or team")
    one.add_argument("--project", help="upload to this project instead of the recorded one")
    return parser


def _sync(args: argparse.Namespace) -> int:
    from seglab.engine.tracking.wandb_sync import check_words, plan_sync, require_server, sync

    target = check_words(args.entity, args.project)
    items = plan_sync(_folders(args), args.again)
    waiting = [item for item in items if item.action == "upload"]
    _tell_plan(items)
    if args.dry_run or not waiting:
        sys.stdout.write(_sentence(items, args.dry_run) + "\n")
        return 0
    require_server()
    results = sync(items, target, _tell_result)
    failed = sum(not result.done for result in results)
    sys.stdout.write(f"{len(results) - failed} of {len(results)} runs uploaded\n")
    return int(failed > 0)


def _folders(args: argparse.Namespace) -> list[Path]:
    """Return the places to look in; a word that is no path is a run id below --runs-dir."""
    if not args.runs:
        return [args.runs_dir]
    from seglab.runs import RunRecord

    return [
        place if place.exists() else RunRecord.open(place, args.runs_dir).run_dir
        for place in (path.expanduser() for path in args.runs)
    ]


def _tell_plan(items: Sequence[SyncItem]) -> None:
    for item in items:
        if item.action == "nothing recorded":
            continue
        line = f"{item.record.run_id}: {item.action}"
        if item.action == "upload" and item.segment is not None:
            line += f" {item.segment.relative_to(item.record.run_dir)}"
        if item.superseded:
            line += f" (holds {len(item.superseded)} earlier segments too)"
        sys.stdout.write(line + "\n")
    silent = sum(item.action == "nothing recorded" for item in items)
    if silent:
        sys.stdout.write(f"{silent} runs recorded nothing for W&B\n")


def _sentence(items: Sequence[SyncItem], dry_run: bool) -> str:
    count = sum(item.action == "upload" for item in items)
    if dry_run:
        return f"{count} runs would be uploaded; nothing was done (--dry-run)"
    return "nothing to upload"


def _tell_result(result: SyncResult) -> None:
    if result.done:
        sys.stdout.write(f"{result.item.record.run_id}: uploaded {result.url or ''}\n")
    else:
        sys.stderr.write(f"{result.item.record.run_id}: not uploaded; {result.message}\n")
