"""`seglab data honeypots`: work lists for annotators, images with known masks hidden among them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.cli.data.annotation.export import add_format, format_maker, read_names
from seglab.core.errors import list_problems


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("manifest", type=Path, help="images to be annotated (folder or .parquet)")
    parser.add_argument("--root", type=Path, help="where the raw data is")
    parser.add_argument(
        "--gold", type=Path, required=True, metavar="MANIFEST", help="images whose mask is known"
    )
    parser.add_argument(
        "--annotators", nargs="+", required=True, metavar="NAME", help="a list for each"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder; a folder in it each")
    add_format(parser)
    parser.add_argument(
        "--share", type=float, default=0.1, help="of each list that is honeypots; 0.1 by default"
    )
    parser.add_argument(
        "--shared",
        type=int,
        default=0,
        metavar="N",
        help="images that all annotators get, to tell how far they agree; 0 by default",
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="images to be annotated: a text file, a sample_id a line; by default those without a mask",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same deals the same")


def work(args: argparse.Namespace) -> int:
    """Write the lists and say what to do with them; 1 where images were left out."""
    from seglab.curation.honeypots import KEY_NAME, WorkPlan, write_work_lists
    from seglab.data.manifest import Manifest

    plan = WorkPlan(tuple(args.annotators), args.share, args.shared, args.seed)
    plan.check()
    make = format_maker(args)
    samples = None if args.samples is None else read_names(args.samples)
    manifest = Manifest.read(args.manifest.expanduser(), args.root)
    gold = Manifest.read(args.gold.expanduser())
    lists = write_work_lists(manifest, gold, args.out, plan, make, samples)
    for who, items in lists.items.items():
        known = sum(one.honeypot for one in items)
        sys.stdout.write(f"{args.out / who}: {len(items)} images, {known} of them honeypots\n")
    if lists.unfit:
        sys.stdout.write(
            f"{lists.unfit} images of {gold.name} are not used: no other image has their suffix or size\n"
        )
    first = args.out / plan.annotators[0]
    sys.stdout.write(
        f"Give each annotator the folder, not {KEY_NAME}, which knows the honeypots. When they are done: "
        f"seglab data import {args.annotation} {first} --out {first}/manifest, and so on, then seglab "
        f"data agreement {first}/manifest ... --gold {args.gold}, and seglab data clean {args.manifest} "
        f"--corrected {first}/manifest --gold {args.gold}\n"
    )
    if not lists.faults:
        return 0
    texts = [f"{name}: {text}" for name, text in lists.faults.items()]
    sys.stderr.write(list_problems(f"{len(texts)} images are left out", texts, len(texts)) + "\n")
    return 1
