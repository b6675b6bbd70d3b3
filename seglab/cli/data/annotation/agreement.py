"""`seglab data agreement`: how far annotators agree on the same images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.core.errors import ConfigError, DataError, list_problems

if TYPE_CHECKING:
    from rich.console import Console

    from seglab.curation.agreement.gold import GoldScore
    from seglab.curation.agreement.panel import Panel
    from seglab.data.manifest import Manifest

# Numbers with their intervals stay whole in a file or a pipe.
_PIPE_WIDTH = 160


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
        "--bar", type=float, default=0.8, help="Dice that agreement has to reach; 0.8 by default"
    )
    parser.add_argument(
        "--no-distances", action="store_true", help="leave out the outlines, which take most time"
    )
    parser.add_argument(
        "--gold",
        type=Path,
        metavar="MANIFEST",
        help="images whose mask is known: a gold set, honeypots",
    )
    parser.add_argument("--json", type=Path, help="write all numbers, confusion matrices too")
    made = parser.add_argument_group("consensus", "one mask out of several, with a manifest")
    made.add_argument("--consensus", choices=("majority", "staple"), help="how")
    made.add_argument("-o", "--out", type=Path, help="folder for masks and manifest")
    made.add_argument(
        "--scope",
        choices=("dataset", "image"),
        help="STAPLE: know an annotator by all images (default), or by each alone",
    )


def work(args: argparse.Namespace) -> int:
    """Print the agreement of every pair and of all, what needs a rule, and what else was asked for."""
    _check_flags(args)
    from seglab.core.text.terminal import open_console
    from seglab.curation.agreement.panel import read_panel
    from seglab.data.manifest import Manifest

    manifests = [Manifest.read(path.expanduser()) for path in args.manifests]
    console = open_console(_PIPE_WIDTH)
    left_out: dict[str, str] = {}
    gold: list[GoldScore] = []
    if args.gold is not None:
        gold = _score_on_gold(args, manifests, console, left_out)
    try:
        panel = read_panel(manifests, args.names, args.match)
    except DataError as error:
        if not gold or args.consensus is not None:
            raise
        # Whoever is held against a gold set need not share images with others.
        sys.stdout.write(f"agreement with each other: {error}\n")
        return _left_out(left_out)
    _agree(args, panel, console, gold)
    return _left_out({**left_out, **panel.left_out})


def _score_on_gold(
    args: argparse.Namespace, manifests: list[Manifest], console: Console, left_out: dict[str, str]
) -> list[GoldScore]:
    from seglab.curation.agreement.gold import score_on_gold
    from seglab.curation.agreement.text import say_gold
    from seglab.data.manifest import Manifest

    known = Manifest.read(args.gold.expanduser())
    panel, scores = score_on_gold(manifests, known, args.names, args.match, args.bar, args.level)
    left_out.update(panel.left_out)
    say_gold(console, scores, args.bar, args.level)
    return scores


def _agree(args: argparse.Namespace, panel: Panel, console: Console, gold: list[GoldScore]) -> None:
    """Print what a panel agrees on, and write what is asked for."""
    from seglab.curation.agreement import text
    from seglab.curation.agreement.counts import count_panel
    from seglab.curation.agreement.measure import measure

    counts = count_panel(panel, distances=not args.no_distances)
    pairs = counts.pair_names()
    agreements = [measure(counts, pair, args.level) for pair in pairs if len(pairs) > 1]
    agreements.append(measure(counts, None, args.level))
    for agreement in agreements:
        text.say_agreement(console, agreement, args.level)
    text.say_confusions(console, counts)
    text.say_needs(console, counts, agreements[-1], args.bar)
    if panel.single:
        text.say(console, f"{len(panel.single)} images were drawn by one annotator alone")
    if args.json is not None:
        from seglab.core.disk.files import write_json
        from seglab.curation.agreement.content import content

        write_json(args.json, content(counts, agreements, gold, args.bar, args.level))
    if args.consensus is not None:
        from seglab.curation.agreement.consensus import write_consensus

        made = write_consensus(panel, args.out, args.consensus, args.scope or "dataset")
        text.say_consensus(console, made, args.out)


def _check_flags(args: argparse.Namespace) -> None:
    problems = [
        f"{flag}: expected a number between 0 and 1, got {value}"
        for flag, value in (("--level", args.level), ("--bar", args.bar))
        if not 0.0 < value < 1.0
    ]
    if (args.consensus is None) != (args.out is None):
        problems.append("a consensus needs both --consensus majority or staple, and --out FOLDER")
    if args.scope is not None and args.consensus != "staple":
        problems.append("--scope: only --consensus staple knows annotators")
    if problems:
        raise ConfigError(problems)


def _left_out(reasons: dict[str, str]) -> int:
    """Name what could not be used; return the exit code."""
    if not reasons:
        return 0
    told = [f"{name}: {why}" for name, why in sorted(reasons.items())]
    sys.stderr.write(list_problems(f"{len(told)} left out", told, len(told)) + "\n")
    return 1
