"""`seglab data instructions`: a page for annotators, from the label space and the data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.cli.data.opening import add_data, open_data
from seglab.core.errors import ConfigError


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the page, an .html file")
    parser.add_argument(
        "--text", type=Path, metavar="YAML", help="title, general, classes, hard_cases in words"
    )
    parser.add_argument(
        "--examples", type=int, default=4, help="pictures of each class; 4 by default"
    )
    parser.add_argument(
        "--images", type=int, default=200, help="masks to look at; 200 by default, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same draws the same")


def work(args: argparse.Namespace) -> int:
    """Write the page and say what is missing in it."""
    from seglab.curation.review.instructions import write_instructions
    from seglab.curation.review.wording import read_wording

    problems = [
        f"{flag}: expected 1 or more, got {value}"
        for flag, value in (("--examples", args.examples), ("--images", args.images))
        if value < 1
    ]
    if problems:
        raise ConfigError(problems)
    manifest = open_data(args.data, args.root)
    names = manifest.labels.class_names
    wording = read_wording(args.text.expanduser(), names) if args.text is not None else None
    made = write_instructions(manifest, args.out, wording, args.examples, args.images, args.seed)
    size = made.page.stat().st_size / 1e6
    sys.stdout.write(f"{made.page}: {len(names)} classes, {made.images} masks, {size:.1f} MB\n")
    for title, missing in (
        ("without a definition (--text)", made.undefined),
        ("in none of these masks", made.unseen),
    ):
        if missing:
            sys.stdout.write(f"{title}: {', '.join(missing)}\n")
    return 0
