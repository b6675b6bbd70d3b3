"""`seglab data review-result`: what the decisions saved from a review sheet show."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("folder", type=Path, help="what `seglab data review` wrote")
    parser.add_argument(
        "decisions", type=Path, nargs="+", help="files saved from its page, one a reviewer"
    )
    parser.add_argument(
        "-o", "--out", type=Path, help="write the decisions by sample, without planted errors"
    )


def work(args: argparse.Namespace) -> int:
    """Print what was shown, of several reviewers each alone too."""
    from seglab.curation.review.conclude import conclude, conclusion_text, for_cleaning, read_key
    from seglab.curation.review.decisions import merge, read_saved, save_decisions

    key = read_key(args.folder.expanduser())
    reviewers = [read_saved(path.expanduser()) for path in args.decisions]
    if len(reviewers) > 1:
        for path, decisions in zip(args.decisions, reviewers, strict=True):
            sys.stdout.write(f"{path}:\n{conclusion_text(conclude(key, [decisions]))}\n")
        sys.stdout.write("together, a mask being wrong if one of them says so:\n")
    sys.stdout.write(conclusion_text(conclude(key, reviewers)))
    if args.out is not None:
        found = for_cleaning(key, merge(reviewers).values())
        save_decisions(args.out, found)
        sys.stdout.write(f"{args.out}: {len(found)} decisions\n")
    return 0
