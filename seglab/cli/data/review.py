"""`seglab data review`: a random sample of masks with planted errors, as a sheet for reviewers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seglab.cli.data.opening import add_data, open_data


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
        "--planted", type=int, default=10, help="errors planted beside them; 10 by default, 0: none"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same draws the same")
    parser.add_argument("--split", action="append", default=[], help="draw from this split only")
    parser.add_argument("--max-side", type=int, default=1024, help="longer side of pictures in px")


def work(args: argparse.Namespace) -> int:
    """Write the sheet and say what it can show."""
    from seglab.curation.review.sheet import KEY_NAME, ReviewPlan, write_review

    plan = ReviewPlan(
        args.error_rate, args.confidence, args.allowed, args.number, args.planted, args.seed
    )
    plan.check()
    manifest = open_data(args.data, args.root)
    review = write_review(manifest, args.out, plan, args.split, args.max_side)
    fifth = args.error_rate / 5
    sys.stdout.write(
        f"{review.page}: {review.inspected} of {review.population} masks and {args.planted} planted "
        f"errors ({review.page.stat().st_size / 1e6:.1f} MB)\n"
        f"If at most {args.allowed} of the {review.inspected} are wrong, the error rate is below "
        f"{args.error_rate:.1%} at {args.confidence:.0%} confidence. A data set with {fifth:.1%} "
        f"wrong comes through with a chance of {review.chance(fifth):.0%}.\n"
        f"Give reviewers the page, not {KEY_NAME}, which knows what was planted; then: seglab data "
        f"review-result {args.out} DECISIONS\n"
    )
    return 0
