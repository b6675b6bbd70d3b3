"""`seglab data agreement`: how far annotators agree on the same images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.core.errors import ConfigError, list_problems


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="one an annotator, or one whose column annotator tells several rows of an image apart",
    )
    parser.add_argument("--names", nargs="+", default=(), help="a name for each manifest")
    parser.add_argument(
        "--match",
        choices=("sha256", "sample_id"),
        default="sha256",
        help="same image: same bytes of the file (default), or same sample_id",
    )
    parser.add_argument("--level", type=float, default=0.95, help="confidence; 0.95 by default")
    parser.add_argument(
        "--no-distances", action="store_true", help="leave out the outlines, which take most time"
    )


def work(args: argparse.Namespace) -> int:
    """Print the agreement of every pair and of all."""
    if not 0.0 < args.level < 1.0:
        raise ConfigError(f"--level: expected a number between 0 and 1, got {args.level}")
    from seglab.core.text.terminal import open_console
    from seglab.curation.agreement.counts import count_panel
    from seglab.curation.agreement.measure import measure
    from seglab.curation.agreement.panel import read_panel
    from seglab.curation.agreement.text import say_agreement
    from seglab.data.manifest import Manifest

    manifests = [Manifest.read(path.expanduser()) for path in args.manifests]
    panel = read_panel(manifests, args.names, args.match)
    counts = count_panel(panel, distances=not args.no_distances)
    console, pairs = open_console(), counts.pair_names()
    for pair in pairs if len(pairs) > 1 else ():
        say_agreement(console, measure(counts, pair, args.level), args.level)
    say_agreement(console, measure(counts, None, args.level), args.level)
    if panel.single:
        sys.stdout.write(f"{len(panel.single)} images were drawn by one annotator alone\n")
    if panel.left_out:
        told = [f"{name}: {why}" for name, why in sorted(panel.left_out.items())]
        sys.stderr.write(list_problems(f"{len(told)} left out", told) + "\n")
        return 1
    return 0
