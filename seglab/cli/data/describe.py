"""`seglab data describe`: splits, classes, sizes, warnings, and what trainings would cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.cli.data.opening import add_data, is_path, open_data
from seglab.cli.data.trained_on import tell_data_of_run
from seglab.core.errors import ConfigError

if TYPE_CHECKING:
    from seglab.data.manifest import Manifest


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    add_data(parser, optional=True)
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN_DIR",
        help="in place of a data set: on which data this run was trained, and whether its files are "
        "still the same",
    )
    parser.add_argument(
        "--objects",
        metavar="SPLIT",
        help="sizes of the objects of each class in a split, such as train; reads its masks",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures of each class too"
    )
    budget = parser.add_argument_group(
        "budget", "what trainings would cost here, measured in seconds"
    )
    budget.add_argument("--models", help="choices in conf/model, such as unet,segnet_basic")
    budget.add_argument("--encoder", help="encoder of the models that have a choice of them")
    budget.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="training crop")
    budget.add_argument("--batch-size", type=int, help="images in a step")
    budget.add_argument("--epochs", type=int, help="epochs to tell the hours of")


def work(args: argparse.Namespace) -> int:
    """Print the description, and the budget where models are named."""
    if args.run is not None:
        _require_alone(args)
        return tell_data_of_run(args.run, args.root)
    if args.data is None:
        raise ConfigError("name a data set, or a run with --run RUN_DIR")
    _check_budget_flags(args)
    manifest = open_data(args.data, args.root)
    if args.html is not None:
        from seglab.curation.review.description import write_description

        sys.stdout.write(f"{write_description(manifest, args.html)}\n\n")
    if args.models is None:
        sys.stdout.write(_description(manifest, args))
        return 0
    from seglab.experiment.budget import common_size, compose_models, format_budget, measure_budget

    models = [name.strip() for name in args.models.split(",") if name.strip()]
    words = _budget_words(args, common_size(manifest))
    configurations = compose_models(models, words, args.encoder)
    sys.stdout.write(_description(manifest, args))
    sys.stdout.flush()
    sys.stdout.write("\n" + format_budget(measure_budget(manifest, configurations)))
    return 0


def _require_alone(args: argparse.Namespace) -> None:
    other = ("data", "objects", "models", "encoder", "crop", "batch_size", "epochs")
    given = [name for name in other if getattr(args, name) is not None]
    if given:
        raise ConfigError(
            f"--run: tells of the data of a run and goes only with --root, got also {', '.join(given)}"
        )


def _description(manifest: Manifest, args: argparse.Namespace) -> str:
    from seglab.data.description.describe import describe, format_description

    text = format_description(describe(manifest, args.data))
    objects = args.objects
    if objects is None:
        return text
    from seglab.data.description.class_support import format_objects, object_sizes
    from seglab.data.mask_parts import find_parts

    rows = manifest.split(objects)
    labelled = rows[rows["mask"].notna()].to_dict(orient="records")
    sizes = object_sizes(find_parts(manifest, labelled), manifest.labels)
    return f"{text}\n{format_objects(sizes, objects)}"


def _check_budget_flags(args: argparse.Namespace) -> None:
    flags = {
        "--crop": args.crop,
        "--batch-size": args.batch_size,
        "--epochs": args.epochs,
        "--encoder": args.encoder,
    }
    given = [flag for flag, value in flags.items() if value is not None]
    if args.models is None and given:
        raise ConfigError(
            f"{', '.join(given)}: only the budget of models needs this; add --models, such as "
            "--models unet,segnet_basic"
        )


def _budget_words(args: argparse.Namespace, image_hw: tuple[int, int]) -> list[str]:
    """Return what the flags of the budget are in the words of `seglab train`."""
    words = [] if is_path(args.data) else [f"data={args.data}"]
    crop = args.crop
    if crop is None and is_path(args.data):
        # A manifest has no crop of its own: the whole image, in the stride of most models.
        crop = [max(side // 32 * 32, 32) for side in image_hw]
    words += [] if crop is None else [f"data.crop_size=[{crop[0]},{crop[1]}]"]
    words += [] if args.batch_size is None else [f"data.batch_size={args.batch_size}"]
    return words + ([] if args.epochs is None else [f"trainer.max_epochs={args.epochs}"])
