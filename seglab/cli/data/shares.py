"""`seglab data shares`: what a training would see of each class, before it is trained."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from seglab.cli.base.option_flags import add_option_flags, read_option_flags
from seglab.cli.data.opening import add_augmentation, add_data, open_data, read_augmentation
from seglab.core.errors import ConfigError
from seglab.data.options import SamplingOptions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from seglab.augment.options import AugmentSpec
    from seglab.augment.preview import PreviewOptions
    from seglab.data.manifest import Manifest

_BATCH = 8


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser)
    add_augmentation(parser)
    parser.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), default=(192, 256))
    parser.add_argument("--draws", type=int, default=400, help="training crops to draw")
    parser.add_argument("--seed", type=int, default=0)
    add_option_flags(parser.add_argument_group("data.sampling"), SamplingOptions)


def work(args: argparse.Namespace) -> int:
    """Print the share of each class in the data, in the images drawn, and in the crops."""
    from seglab.augment.options import AugmentSpec

    sampling = read_option_flags(args, SamplingOptions)
    spec = AugmentSpec.read(read_augmentation(args.augment, args.changes), "augment")
    if args.draws < 1:
        raise ConfigError(f"--draws: expected at least 1, got {args.draws}")
    manifest = open_data(args.data, args.root)
    table = _shares(manifest, spec, sampling, args)
    sys.stdout.write(
        f"{manifest.name}: pixel shares of the training part; as drawn by data.sampling; in "
        f"{args.draws} crops of augment={args.augment}\n{table.to_string()}\n"
    )
    return 0


def _shares(
    manifest: Manifest, spec: AugmentSpec, sampling: SamplingOptions, args: argparse.Namespace
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from seglab.augment.preview import PreviewOptions
    from seglab.data.loading.sampling import class_shares, sample_weights, weighted_order

    rows = manifest.split("train")
    rows = rows[rows["mask"].notna()].reset_index(drop=True)
    if rows.empty:
        raise ConfigError(f"{manifest.name} has no labelled training samples; nothing can be drawn")
    num_classes = manifest.labels.num_classes
    pixels = np.array(rows["class_pixels"].tolist(), dtype=np.int64)[:, :num_classes]
    weights = sample_weights(rows, num_classes, sampling)
    even = np.ones(len(rows)) if weights is None else weights
    epochs = -(-args.draws // len(rows))
    order = np.concatenate([weighted_order(even, args.seed, epoch) for epoch in range(epochs)])
    options = PreviewOptions(
        crop_hw=tuple(args.crop), seed=args.seed, class_frequency=pixels.sum(axis=0).tolist()
    )
    crops = _crop_pixels(manifest, rows.iloc[order[: args.draws]], spec, options)
    columns = {
        "data": class_shares(pixels),
        "drawn": class_shares(pixels, even),
        "crops": class_shares(crops),
    }
    shown = {name: [f"{100 * one:.2f} %" for one in share] for name, share in columns.items()}
    held = (crops > 0).mean(axis=0)
    shown["crops that hold it"] = [f"{100 * one:.1f} %" for one in held]
    return pd.DataFrame(shown, index=list(manifest.labels.class_names))


def _crop_pixels(
    manifest: Manifest, rows: pd.DataFrame, spec: AugmentSpec, options: PreviewOptions
) -> np.ndarray:
    """Return the pixels of each class in each crop, int64 `(draws, num_classes)`."""
    import numpy as np

    from seglab.augment.preview import PreviewSample, augment_batch
    from seglab.data.files.masks import read_mask

    labels, counts = manifest.labels, []
    for version, start in enumerate(range(0, len(rows), _BATCH)):
        samples = [
            # Where a class comes to lie does not depend on what the image shows.
            PreviewSample(
                row["sample_id"],
                np.zeros((row["height"], row["width"], 3), dtype=np.uint8),
                read_mask(manifest.path(row["mask"]), labels, manifest.mask_encoding),
            )
            for row in rows.iloc[start : start + _BATCH].to_dict(orient="records")
        ]
        for _, mask in augment_batch(samples, labels, spec, options, version):
            inside = mask[mask < labels.num_classes].ravel()
            counts.append(np.bincount(inside, minlength=labels.num_classes))
    return np.array(counts, dtype=np.int64)
