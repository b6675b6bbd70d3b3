"""`seglab data review`: a random sample of masks with planted errors, as a sheet for reviewers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.cli.data.annotation.export import read_names
from seglab.cli.data.opening import add_data, open_data
from seglab.core.errors import ConfigError


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for page and key")
    parser.add_argument(
        "--error-rate",
        type=float,
        default=0.05,
        help="show that fewer masks than this share are wrong; 0.05 by default",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="0.95 by default")
    parser.add_argument(
        "--allowed", type=int, default=0, help="wrong masks that still count as shown; 0 by default"
    )
    parser.add_argument("--number", type=int, help="masks to inspect; as few as can show it")
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="these masks, all of them and in this order, instead of a random sample: a text file, a "
        "sample_id a line",
    )
    parser.add_argument(
        "--planted",
        type=int,
        help="errors planted beside them; 10 by default, none beside --samples; 0: none",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same draws the same")
    parser.add_argument("--split", action="append", default=[], help="draw from this split only")
    parser.add_argument("--max-side", type=int, default=1024, help="longer side of pictures in px")


def work(args: argparse.Namespace) -> int:
    """Write the sheet and say what it can show."""
    from seglab.curation.review.sheet import KEY_NAME, ReviewPlan, write_review

    if args.samples is not None and args.number is not None:
        raise ConfigError("--samples and --number both say how many masks; give one")
    samples = None if args.samples is None else read_names(args.samples)
    usual = 10 if samples is None else 0
    planted = usual if args.planted is None else args.planted
    plan = ReviewPlan(
        args.error_rate, args.confidence, args.allowed, args.number, planted, args.seed
    )
    plan.check()
    manifest = open_data(args.data, args.root)
    review = write_review(manifest, args.out, plan, args.split, args.max_side, samples)
    size = f"({review.page.stat().st_size / 1e6:.1f} MB)"
    if samples is not None:
        sys.stdout.write(
            f"{review.page}: {review.inspected} chosen masks and {planted} planted errors {size}\n"
            + _next_step(args.out, planted, KEY_NAME, args.data)
        )
        return 0
    fifth = args.error_rate / 5
    sys.stdout.write(
        f"{review.page}: {review.inspected} of {review.population} masks and {planted} planted errors "
        f"{size}\n"
        f"If at most {args.allowed} of the {review.inspected} are wrong, the error rate is below "
        f"{args.error_rate:.1%} at {args.confidence:.0%} confidence. A data set with {fifth:.1%} "
        f"wrong comes through with a chance of {review.chance(fifth):.0%}.\n"
        + _next_step(args.out, planted, KEY_NAME, args.data)
    )
    return 0


def _next_step(out: Path, planted: int, key: str, data: str) -> str:
    if planted:
        return (
            f"Give reviewers the page, not {key}, which knows what was planted; then: seglab data "
            f"review-result {out} DECISIONS\n"
        )
    return (
        f"Nothing is planted, so what the page saves can go to seglab data clean {data} --decisions "
        f"DECISIONS; what it shows: seglab data review-result {out} DECISIONS\n"
    )
