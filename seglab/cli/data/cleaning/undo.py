"""`seglab data undo`: back to the version that a manifest was made from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("manifest", type=Path, help="the folder of a manifest")
    parser.add_argument("--root", type=Path, help="where the data is now, if it moved")


def work(args: argparse.Namespace) -> int:
    """Put the former version back and say what was undone."""
    from seglab.curation.versions import folder_of, undo

    folder = folder_of(args.manifest.expanduser())
    former, entry = undo(folder, args.root)
    sys.stdout.write(
        f"{folder}: undone what `{entry['by']}` did at {entry['when']}; fingerprint "
        f"{former.fingerprint}\n"
    )
    return 0
