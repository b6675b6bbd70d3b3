"""`seglab data preview`: a picture of what an augmentation does to samples."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli.data.opening import add_augmentation, add_data, open_data, read_augmentation
from seglab.core.errors import ConfigError

if TYPE_CHECKING:
    from seglab.core.bands import Bands
    from seglab.data.manifest import Manifest


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser)
    parser.add_argument("--split", default="train")
    add_augmentation(parser)
    parser.add_argument("-n", "--num-samples", type=int, default=4)
    parser.add_argument("--versions", type=int, default=4, help="augmented versions a sample")
    parser.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), default=(192, 256))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--bands",
        type=int,
        nargs="+",
        metavar="N",
        help="numbers of the bands to read, from 1; all by default",
    )
    parser.add_argument(
        "--display-bands",
        type=int,
        nargs=3,
        metavar=("R", "G", "B"),
        help="the bands to show; the first three by default",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("preview.png"))


def work(args: argparse.Namespace) -> int:
    """Draw the picture and say where it is."""
    from PIL import Image

    from seglab.augment.band_effects import require_band_steps
    from seglab.augment.options import AugmentSpec
    from seglab.augment.preview import PreviewOptions, PreviewSample, preview_grid
    from seglab.core.disk.files import atomic_path

    kind = Image.registered_extensions().get(args.output.suffix.lower())
    if kind not in Image.SAVE:
        raise ConfigError(f"--output: expected a picture, such as preview.png, got '{args.output}'")
    spec = AugmentSpec.read(read_augmentation(args.augment, args.changes), "augment")
    manifest = open_data(args.data, args.root)
    read, bands = _read_samples(manifest, args)
    if bands is not None:
        require_band_steps(spec, bands)
    samples = [PreviewSample(*sample) for sample in read]
    options = PreviewOptions(
        crop_hw=tuple(args.crop), num_versions=args.versions, seed=args.seed, bands=bands
    )
    grid = Image.fromarray(preview_grid(samples, manifest.labels, spec, options))
    with atomic_path(args.output) as temporary:
        grid.save(temporary, format=kind)
    shown = (
        ""
        if bands is None
        else (
            f": bands {', '.join(map(str, bands.display))} as red, green, blue, stretched over the "
            f"{len(samples)} images shown (a training stretches over its whole training part)"
        )
    )
    sys.stdout.write(f"{args.output}{shown}\n")
    return 0


def _read_samples(
    manifest: Manifest, args: argparse.Namespace
) -> tuple[list[tuple[str, Any, Any]], Bands | None]:
    """Return (sample_id, image, mask) of the first labelled samples of a split, and their bands.

    Raises:
        ConfigError: The split has none, or there are no such bands.
    """
    from seglab.data.bands.preview import read_bands
    from seglab.data.bands.statistics import choose_bands
    from seglab.data.files.images import read_image
    from seglab.data.files.masks import read_mask

    rows = manifest.split(args.split).to_dict(orient="records")
    labelled = [row for row in rows if row["mask"] is not None][: args.num_samples]
    if not labelled:
        counts = ", ".join(f"{split} {count}" for split, count in manifest.splits().items())
        raise ConfigError(f"--split: '{args.split}' has no labelled samples; there are {counts}")
    numbers, bands = choose_bands(args.bands, manifest), None
    paths = [manifest.path(row["image"]) for row in labelled]
    if numbers is None:
        if args.display_bands is not None:
            raise ConfigError(
                f"--display-bands: {manifest.name} is read as RGB; choose bands with --bands"
            )
        images = [read_image(path) for path in paths]
    else:
        images, bands = read_bands(paths, numbers, args.display_bands)
    masks = [
        read_mask(manifest.path(row["mask"]), manifest.labels, manifest.mask_encoding)
        for row in labelled
    ]
    names = [row["sample_id"] for row in labelled]
    return list(zip(names, images, masks, strict=True)), bands
