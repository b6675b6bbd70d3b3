"""`seglab data split`: splits that keep together what belongs together, and what a random one leaks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.cli.base.option_flags import add_option_flags, read_option_flags
from seglab.cli.data.opening import add_data, open_data
from seglab.data.splits.options import SplitOptions


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for the new manifest; without it the findings are printed and nothing is written",
    )
    add_option_flags(parser, SplitOptions)


def work(args: argparse.Namespace) -> int:
    """Draw the split, print the findings, and write the manifest where a folder is named."""
    options = read_option_flags(args, SplitOptions)
    from seglab.data.splits.drawing import draw_split
    from seglab.data.splits.findings import format_split

    drawn = draw_split(open_data(args.data, args.root), options)
    sys.stdout.write(format_split(drawn, options))
    if args.out is None:
        sys.stdout.write("\nNothing is written; --out FOLDER writes the new manifest\n")
        return 0
    drawn.manifest.write(args.out)
    sys.stdout.write(f"\n{args.out}: fingerprint {drawn.manifest.fingerprint}\n")
    return 0
