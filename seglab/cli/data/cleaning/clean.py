"""`seglab data clean`: decisions become a new version of a manifest; nothing is deleted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("manifest", type=Path, help="a manifest: its folder or .parquet")
    parser.add_argument(
        "--decisions",
        type=Path,
        metavar="FILE",
        help="YAML or JSON: what to drop, keep, relabel and merge, and how many copies stay",
    )
    parser.add_argument(
        "--corrected",
        type=Path,
        metavar="MANIFEST",
        help="of annotations that were corrected and imported again: their masks become this manifest's",
    )
    parser.add_argument(
        "--gold",
        type=Path,
        metavar="MANIFEST",
        help="with --corrected: images whose mask is known (honeypots); what was drawn on them stays out",
    )
    parser.add_argument("--findings", type=Path, help="of the audit; audit beside the manifest")
    parser.add_argument("--root", type=Path, help="where the data is now, if it moved")


def work(args: argparse.Namespace) -> int:
    """Write the new version and its log, and print the log."""
    from seglab.core.disk.files import write_text
    from seglab.core.errors import ConfigError, DataError
    from seglab.curation.cleaning.clean import clean
    from seglab.curation.cleaning.corrected import corrected_masks
    from seglab.curation.cleaning.decisions import Decisions, joined_decisions, read_decisions
    from seglab.curation.findings import FINDINGS_NAME, findings_table, read_findings
    from seglab.curation.versions import folder_of
    from seglab.data.manifest import Manifest

    if args.decisions is None and args.corrected is None:
        raise ConfigError("--decisions or --corrected: give at least one of them")
    if args.gold is not None and args.corrected is None:
        raise ConfigError("--gold: says what to leave out of --corrected MANIFEST; give that too")
    manifest = Manifest.read(args.manifest.expanduser(), args.root)
    folder = folder_of(args.manifest)
    place = args.findings or folder / "audit"
    is_there = args.findings is not None or (place / FINDINGS_NAME).is_file()
    findings = read_findings(place) if is_there else findings_table([], {})
    decisions = Decisions()
    if args.decisions is not None:
        decisions = read_decisions(args.decisions.expanduser(), manifest, findings)
    if args.corrected is not None:
        known = None if args.gold is None else Manifest.read(args.gold.expanduser())
        corrected = Manifest.read(args.corrected.expanduser())
        masks = corrected_masks(manifest, corrected, known)
        decisions = joined_decisions(decisions, masks)
    if decisions.cap_duplicates is not None and not is_there:
        raise DataError(
            f"cap_duplicates needs to know the copies: run `seglab data audit {folder}` first"
        )
    cleaned, log = clean(manifest, decisions, findings)
    if not log:
        sys.stdout.write("nothing to change\n")
        return 0
    cleaned.write(folder)
    lines = "".join(f"{line}\n" for line in log)
    path = folder / "cleaning.log"
    former = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_text(path, f"{former}{manifest.fingerprint} -> {cleaned.fingerprint}\n{lines}\n")
    sys.stdout.write(
        f"{lines}{folder}: fingerprint {cleaned.fingerprint} (was {manifest.fingerprint}); log {path}; "
        f"back with `seglab data undo {folder}`\n"
    )
    return 0
