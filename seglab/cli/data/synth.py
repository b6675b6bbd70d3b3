"""`seglab data synth`: the roadside data set, drawn, and its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.cli.data.importer_options import add_importer_options, parse_options
from seglab.cli.data.importing import import_into
from seglab.core.disk.data_names import data_set_name


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("out", type=Path, help="folder to make; the manifest goes to OUT/manifest")
    parser.add_argument("--num-images", type=int, default=240)
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), default=(192, 256))
    parser.add_argument("--seed", type=int, default=0)
    add_importer_options(parser)


def work(args: argparse.Namespace) -> int:
    """Draw the data set and write its manifest."""
    options = {
        "num_images": args.num_images,
        "image_size": list(args.image_size),
        "seed": args.seed,
        **parse_options(args.options, "synth"),
    }
    # What is left out of drawn data are faults that were asked for.
    out = args.out / "manifest"
    import_into(args, "synth", args.out / "data", out, data_set_name(out), options)
    return 0
