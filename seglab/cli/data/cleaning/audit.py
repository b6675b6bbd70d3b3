"""`seglab data audit`: what is wrong with a data set, filed, flagged and shown."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.core.errors import ConfigError
from seglab.core.text.shell import shell_command

if TYPE_CHECKING:
    from seglab.curation.audit import Audit
    from seglab.data.manifest import Manifest

_FAILING = "error"
_ENCODER = "tf_efficientnet_lite0"
_EPILOG = """examples:
  seglab data audit manifests/mine                         all that needs no model
  seglab data audit manifests/mine --only corrupt_image,exact_duplicate
  seglab data audit manifests/mine --fail-on warning       for CI: exit code 1 at a warning or an error
  seglab data audit manifests/mine --weights tf_efficientnet_lite0.safetensors
                                                           irrelevant images too, about 20 a second and core
  seglab data audit manifests/mine --list                  the kinds, what they mean, their limits
"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("manifest", type=Path, nargs="?", help="a manifest: its folder or .parquet")
    parser.add_argument("--root", type=Path, help="where the data is now, if it moved")
    parser.add_argument("--out", type=Path, help="folder for findings; audit beside the manifest")
    parser.add_argument("--only", default="", metavar="KIND,...", help="look for these alone")
    parser.add_argument("--skip", default="", metavar="KIND,...", help="do not look for these")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN_DIR",
        help="a cross-validation, or an evaluation with save_probabilities=true: ranks wrong labels by "
        "its predictions, looks for leaks of its folds, and for irrelevant images with its encoder",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="pretrained weights of an encoder: looks for irrelevant images with it, not the run's own",
    )
    parser.add_argument(
        "--encoder",
        default=_ENCODER,
        metavar="NAME",
        help=f"the encoder --weights belong to, a name of timm; {_ENCODER} by default",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="KIND=NUMBER",
        dest="limits",
        help="where the value of a kind begins to count; may be repeated",
    )
    parser.add_argument(
        "--fail-on",
        default=_FAILING,
        metavar="KIND,...",
        help="kinds or severities (error, warning, note) that give exit code 1 where a sample that is not "
        "in quarantine has them; 'error' by default, 'none' for nothing",
    )
    parser.add_argument(
        "--no-flags", action="store_true", help="leave the flags of the manifest as they are"
    )
    parser.add_argument("--list", action="store_true", help="list the kinds of finding, and stop")


def work(args: argparse.Namespace) -> int:
    """Audit, write findings and flags, print a summary; return 1 where `--fail-on` says so."""
    from seglab.curation.audit import audit, failing, summary
    from seglab.curation.registry import AuditInputs, all_kinds, choose_kinds
    from seglab.data.manifest import Manifest
    from seglab.data.splits.scenes import scenes_in_names

    if args.list:
        sys.stdout.write(_kinds_text())
        return 0
    if args.manifest is None:
        raise ConfigError("MANIFEST: missing; give the folder of a manifest, or --list")
    only = choose_kinds(_words(args.only), "--only")
    skipped = choose_kinds(_words(args.skip), "--skip")
    fail_on = [] if args.fail_on == "none" else choose_kinds(_words(args.fail_on), "--fail-on")
    limits = _limits(args.limits)
    only = [
        name
        for name in only or choose_kinds(("error", "warning", "note"), "--only")
        if name not in skipped
    ]
    manifest = Manifest.read(args.manifest.expanduser(), args.root)
    folder = args.manifest if args.manifest.is_dir() else args.manifest.parent
    of_run = {} if args.run is None else _of_run(args.run, manifest)
    needing = {all_kinds()[name].needs for name in only}
    encoder = _encoder(args, manifest) if "encoder" in needing else {}
    inputs = AuditInputs(manifest, **of_run, **encoder)
    found = audit(inputs, only, limits)
    sys.stdout.write(summary(found))
    scenes = scenes_in_names(manifest)
    if scenes is not None:
        split = shell_command("seglab", "data", "split", args.manifest, "--out", "FOLDER")
        sys.stdout.write(f"\nnote: {scenes.sentence(f'`{split}`')}\n")
    _write_pages(found, args.out or folder / "audit")
    if not args.no_flags:
        _write_flags(found, folder)
    failed = failing(found, fail_on)
    if failed:
        sys.stderr.write(f"seglab data audit: failed on {', '.join(failed)}\n")
    return 1 if failed else 0


def _write_pages(found: Audit, folder: Path) -> None:
    from seglab.curation.findings import write_findings
    from seglab.curation.labels.ranking import write_ranking
    from seglab.curation.page.findings_page import write_findings_page

    place = write_findings(found.table, folder)
    page = place.with_name("index.html")
    size = write_findings_page(found, page)
    sys.stdout.write(f"findings  {place}\npage      {page}, {size / 1e6:.1f} MB\n")
    if found.label_ranking is not None:
        sys.stdout.write(f"ranking   {write_ranking(found.label_ranking, place.parent)}\n")


def _write_flags(found: Audit, folder: Path) -> None:
    from seglab.curation.audit import flag

    flagged, former = flag(found), found.manifest.fingerprint
    if flagged.fingerprint != former:
        flagged.write(folder)
        sys.stdout.write(
            f"manifest  {folder}: flags written, fingerprint {flagged.fingerprint} (was {former}, kept "
            f"as manifest.{former}.parquet)\n"
        )


def _of_run(run_dir: Path, manifest: Manifest) -> dict[str, Any]:
    from seglab.curation.predictions import kept_predictions, recorded_folds

    place = run_dir.expanduser()
    return {"predictions": kept_predictions(place, manifest), "folds": recorded_folds(place)}


def _encoder(args: argparse.Namespace, manifest: Manifest) -> dict[str, Any]:
    if args.weights is None and args.encoder != _ENCODER:
        raise ConfigError("--encoder: whose weights? give them with --weights FILE")
    if args.weights is None and args.run is None:
        return {}
    from seglab.cli.data.cleaning.audit_encoder import encoder_of_file, encoder_of_run

    if args.weights is not None:
        return {"embed": encoder_of_file(args.encoder, args.weights)}
    found = encoder_of_run(args.run, manifest.labels.num_classes)
    return {"no_encoder": found} if isinstance(found, str) else {"embed": found}


def _kinds_text() -> str:
    from seglab.curation.registry import all_kinds

    lines = []
    for kind in all_kinds().values():
        limit = f" Limit {kind.limit:g}: {kind.limit_meaning}." if kind.limit is not None else ""
        lines.append(
            f"{kind.name}  {kind.severity}, needs {kind.needs}; proposed: {kind.action}\n"
            f"    {kind.summary}{limit}\n"
        )
    return "".join(lines)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _limits(words: list[str]) -> dict[str, float]:
    limits, problems = {}, []
    for word in words:
        name, _, number = word.partition("=")
        try:
            limits[name] = float(number)
        except ValueError:
            problems.append(f"--limit: expected KIND=NUMBER, such as blurred=20, got '{word}'")
    if problems:
        raise ConfigError(problems)
    return limits
