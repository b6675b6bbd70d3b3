"""`seglab data diff`: what changed between two versions of a manifest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglab.data.manifest import Manifest


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("former", type=Path, help="a manifest: its folder or .parquet")
    parser.add_argument(
        "now",
        type=Path,
        nargs="?",
        help="the other one; without it `former` is compared with the version it was made from",
    )
    parser.add_argument("--root", type=Path, help="where the data of both is now, if it moved")
    parser.add_argument("--json", type=Path, help="write everything that differs")
    parser.add_argument("--html", type=Path, help="write a page with pictures")
    parser.add_argument(
        "--exit-code", action="store_true", help="end with 1 where anything differs; else with 0"
    )


def work(args: argparse.Namespace) -> int:
    """Print what differs and write what is asked for."""
    from seglab.core.disk.files import write_json
    from seglab.curation.changes.compare import compare, in_words
    from seglab.curation.versions import former_file
    from seglab.data.manifest import Manifest

    former, now = args.former.expanduser(), args.now
    if now is None:
        former, now = former_file(former), former
    both = [Manifest.read(one, args.root) for one in (former, now.expanduser())]
    changes = compare(*both)
    for place, manifest in zip((former, now), both, strict=True):
        _say_what_is_not_its(place, manifest)
    sys.stdout.write(f"{changes.former.fingerprint} -> {changes.now.fingerprint}\n")
    for line in in_words(changes) if changes else ["nothing differs"]:
        sys.stdout.write(f"{line}\n")
    if args.json is not None:
        write_json(args.json, changes.content())
    if args.html is not None:
        from seglab.curation.changes.page import write_changes_page

        size = write_changes_page(changes, args.html)
        sys.stdout.write(f"{args.html}, {size / 1e6:.1f} MB\n")
    return 1 if args.exit_code and changes else 0


def _say_what_is_not_its(place: Path, manifest: Manifest) -> None:
    """Say which files are no longer those a manifest speaks of: their content is not compared."""
    from seglab.data.freshness import FileHashes, disagreements

    wrong = disagreements(manifest, FileHashes(manifest.root), fetch=False)
    if wrong:
        named = ", ".join(f"{name} ({what})" for name, what in list(wrong.items())[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        sys.stderr.write(
            f"{place}: the files below {manifest.root} are no longer those it was made from: {named}{more}; "
            "what the manifests say is compared, import again to compare the files as they are\n"
        )
