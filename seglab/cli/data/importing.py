"""`seglab data import`: the manifest of a data set that is there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from seglab.cli.data.importer_options import (
    ImporterHelp,
    add_importer_options,
    options_without_flag,
    parse_options,
)
from seglab.core.disk.data_names import data_set_name
from seglab.core.errors import ConfigError
from seglab.core.text.option_words import option_word, typed_as_flags
from seglab.core.text.shell import shell_command


def _importers() -> list[str]:
    """Return the importers of folders that are there already."""
    import seglab.data.annotated.options
    import seglab.data.importers.options  # noqa: F401 - with the other, declares them
    from seglab.core.parts.components import components

    return list(components("importer"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument(
        "-h",
        "--help",
        action=ImporterHelp,
        nargs=0,
        help="show this and exit; behind an importer, its options too: seglab data import folder --help",
    )
    parser.add_argument("importer", help=", ".join(_importers()))
    parser.add_argument("root", type=Path, help="folder of the raw data")
    parser.add_argument(
        "--out", type=Path, help="folder for the manifest; manifests/NAME by default"
    )
    parser.add_argument(
        "--name",
        help="name of the data set; that of the folder for the manifest, or of the raw data",
    )
    add_importer_options(parser)
    parser.set_defaults(typed=options_without_flag)


def work(args: argparse.Namespace) -> int:
    """Import the data set and print what there is of it; 1 where data was left out."""
    from seglab.core.parts.plugins import name_packages

    if args.importer not in _importers() and Path(args.importer).is_dir():
        typed = shell_command("seglab", "data", "import", "folder", args.importer)
        raise ConfigError(
            f"'{args.importer}' is a folder; what reads it comes before it, such as {typed}"
        )
    if "." in args.importer:  # typed, so its code may be imported
        name_packages([args.importer])
    options = parse_options(args.options, args.importer)
    folder = args.root if args.root.is_dir() else args.root.parent
    name = args.name or data_set_name(args.out or folder)
    out = args.out or Path(os.environ.get("SEGLAB_DATA", "data")) / "manifests" / name
    left_out = import_into(args, args.importer, args.root, out, name, options)
    if left_out:
        sys.stdout.write(
            f"{left_out} left out, each named above: the manifest is written, and the exit code is 1 for "
            "what it lacks\n"
        )
    return int(left_out > 0)


def import_into(
    args: argparse.Namespace,
    importer: str,
    root: Path,
    out: Path,
    name: str,
    options: dict[str, Any],
) -> int:
    """Import into the folder `out`, print splits and fingerprint; return how much was left out."""
    from seglab.data.description.describe import empty_splits, repeated_images
    from seglab.data.importers import import_dataset
    from seglab.data.importers.opening import declared_options
    from seglab.data.splits.scenes import scenes_in_names

    with typed_as_flags():
        manifest = import_dataset(importer, root, out, name, options, on_error=args.on_error)
    splits = ", ".join(f"{split} {count}" for split, count in manifest.splits().items() if count)
    sys.stdout.write(f"{out}: {splits}; fingerprint {manifest.fingerprint}\n")
    warnings = [*empty_splits(manifest), repeated_images(manifest)]
    sys.stdout.writelines(f"Warning: {text}\n" for text in warnings if text is not None)
    scenes = scenes_in_names(manifest)
    if scenes is not None:
        split = shell_command("seglab", "data", "split", out, "--out", "FOLDER")
        takes = scenes.pattern and "group_pattern" in declared_options(importer).model_fields
        with typed_as_flags():
            remedy = option_word("group_pattern", str(scenes.pattern)) if takes else f"`{split}`"
        sys.stdout.write(f"Note: {scenes.sentence(remedy)}\n")
    return len(manifest.provenance["quarantined"])
