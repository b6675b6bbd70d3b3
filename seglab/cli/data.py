"""`seglab data`: describe, import, draw and preview data sets; only reads the flags."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.cli import data_audit
from seglab.cli.subcommands import parse_subcommand
from seglab.core.errors import ConfigError
from seglab.core.text.shell import shell_command

if TYPE_CHECKING:
    from seglab.core.bands import Bands
    from seglab.data.manifest import Manifest

_MANIFEST_HELP = "a manifest (folder or .parquet), or the name of a choice in conf/data"


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    args = parse_subcommand(build_parser(), argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("seglab").setLevel(logging.INFO)
    work: Callable[[argparse.Namespace], int] = args.work
    return work(args)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="seglab data", description="Work on data sets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_describe(commands)
    _add_import(commands)
    _add_preview(commands)
    _add_synth(commands)
    data_audit.add_to(commands)
    return parser


def _add_describe(commands: Any) -> None:
    one = commands.add_parser("describe", help="print splits, classes, sizes and warnings")
    one.add_argument("data", help=_MANIFEST_HELP)
    one.add_argument("--root", type=Path, help="where the raw data is")
    budget = one.add_argument_group("budget", "what trainings would cost here, measured in seconds")
    budget.add_argument("--models", help="choices in conf/model, such as unet,segnet_basic")
    budget.add_argument("--encoder", help="encoder of the models that have a choice of them")
    budget.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="training crop")
    budget.add_argument("--batch-size", type=int, help="images in a step")
    budget.add_argument("--epochs", type=int, help="epochs to tell the hours of")
    one.set_defaults(work=_describe)


def _importers() -> list[str]:
    """Return the importers of folders that are there already."""
    import seglab.data.importers.options  # noqa: F401 - declares them
    from seglab.core.parts.components import components

    return list(components("importer"))


def _add_import(commands: Any) -> None:
    one = commands.add_parser("import", help="write the manifest of a data set")
    one.add_argument("importer", help=", ".join(_importers()))
    one.add_argument("root", type=Path, help="folder of the raw data")
    one.add_argument("--out", type=Path, help="folder for the manifest; manifests/NAME by default")
    one.add_argument("--name", help="name of the data set; the importer's by default")
    _add_options(one)
    one.set_defaults(work=_import)


def _add_synth(commands: Any) -> None:
    one = commands.add_parser("synth", help="draw the roadside data set and write its manifest")
    one.add_argument("out", type=Path, help="folder to make; the manifest goes to OUT/manifest")
    one.add_argument("--num-images", type=int, default=240)
    one.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), default=(192, 256))
    one.add_argument("--seed", type=int, default=0)
    _add_options(one)
    one.set_defaults(work=_synth)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="an option of the importer, value in YAML; may be repeated",
    )
    parser.add_argument(
        "--on-error",
        choices=("raise", "quarantine"),
        default="raise",
        help="what to do with faulty files: stop (default), or list them and leave them out",
    )


def _add_preview(commands: Any) -> None:
    one = commands.add_parser("preview", help="draw what an augmentation does to samples")
    one.add_argument("data", help=_MANIFEST_HELP)
    one.add_argument("--root", type=Path, help="where the raw data is")
    one.add_argument("--split", default="train")
    one.add_argument("--augment", default="standard", help="a choice in conf/augment")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="augment.KEY=VALUE",
        dest="changes",
        help="change the augmentation; may be repeated",
    )
    one.add_argument("-n", "--num-samples", type=int, default=4)
    one.add_argument("--versions", type=int, default=4, help="augmented versions a sample")
    one.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), default=(192, 256))
    one.add_argument("--seed", type=int, default=0)
    one.add_argument(
        "--bands",
        type=int,
        nargs="+",
        metavar="N",
        help="numbers of the bands to read, from 1; all by default",
    )
    one.add_argument(
        "--display-bands",
        type=int,
        nargs=3,
        metavar=("R", "G", "B"),
        help="the bands to show; the first three by default",
    )
    one.add_argument("-o", "--output", type=Path, default=Path("preview.png"))
    one.set_defaults(work=_preview)


def _describe(args: argparse.Namespace) -> int:
    from seglab.data.describe import describe, format_description

    _check_budget_flags(args)
    manifest = _open(args.data, args.root)
    if args.models is None:
        sys.stdout.write(format_description(describe(manifest)))
        return 0
    from seglab.experiment.budget import common_size, compose_models, format_budget, measure_budget

    models = [name.strip() for name in args.models.split(",") if name.strip()]
    words = _budget_words(args, common_size(manifest))
    configurations = compose_models(models, words, args.encoder)
    sys.stdout.write(format_description(describe(manifest)))
    sys.stdout.flush()
    sys.stdout.write("\n" + format_budget(measure_budget(manifest, configurations)))
    return 0


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
    words = [] if _is_path(args.data) else [f"data={args.data}"]
    crop = args.crop
    if crop is None and _is_path(args.data):
        # A manifest has no crop of its own: the whole image, in the stride of most models.
        crop = [max(side // 32 * 32, 32) for side in image_hw]
    words += [] if crop is None else [f"data.crop_size=[{crop[0]},{crop[1]}]"]
    words += [] if args.batch_size is None else [f"data.batch_size={args.batch_size}"]
    return words + ([] if args.epochs is None else [f"trainer.max_epochs={args.epochs}"])


def _import(args: argparse.Namespace) -> int:
    from seglab.core.parts.plugins import name_packages

    if "." in args.importer:  # typed, so its code may be imported
        name_packages([args.importer])
    options = parse_options(args.options, args.importer)
    name = args.name or args.importer
    out = args.out or Path(os.environ.get("SEGLAB_DATA", "data")) / "manifests" / name
    return _import_into(args, args.importer, args.root, out, name, options)


def _synth(args: argparse.Namespace) -> int:
    options = {
        "num_images": args.num_images,
        "image_size": list(args.image_size),
        "seed": args.seed,
        **parse_options(args.options, "synth"),
    }
    return _import_into(args, "synth", args.out / "data", args.out / "manifest", "synth", options)


def _import_into(
    args: argparse.Namespace,
    importer: str,
    root: Path,
    out: Path,
    name: str,
    options: dict[str, Any],
) -> int:
    from seglab.data.describe import repeated_images
    from seglab.data.importers import import_dataset

    manifest = import_dataset(importer, root, out, name, options, on_error=args.on_error)
    splits = ", ".join(f"{split} {count}" for split, count in manifest.splits().items() if count)
    sys.stdout.write(f"{out}: {splits}; fingerprint {manifest.fingerprint}\n")
    repeated = repeated_images(manifest)
    if repeated is not None:
        sys.stdout.write(f"Warning: {repeated}\n")
    return 0


def _preview(args: argparse.Namespace) -> int:
    from PIL import Image

    from seglab.augment.band_effects import require_band_steps
    from seglab.augment.options import AugmentSpec
    from seglab.augment.preview import PreviewOptions, PreviewSample, preview_grid
    from seglab.core.disk.files import atomic_path

    kind = Image.registered_extensions().get(args.output.suffix.lower())
    if kind not in Image.SAVE:
        raise ConfigError(f"--output: expected a picture, such as preview.png, got '{args.output}'")
    spec = AugmentSpec.read(_augmentation(args.augment, args.changes), "augment")
    manifest = _open(args.data, args.root)
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


def parse_options(words: Sequence[str], importer: str) -> dict[str, Any]:
    """Return `KEY=VALUE` words as a dict, values read as YAML, names as they are typed.

    Raises:
        ConfigError: A word has no `=` or its value is no YAML; all are listed.
    """
    problems, options = [], {}
    for word in words:
        key, sign, text = word.partition("=")
        if not key or not sign:
            problems.append(f"--option: expected KEY=VALUE, got '{word}'")
            continue
        try:
            options[key] = _read_option(key, text, importer)
        except (yaml.YAMLError, OmegaConfBaseException):
            typed = shell_command("--option", f"{key}={json.dumps(text, ensure_ascii=False)}")
            problems.append(
                f"--option {key}: expected a value in YAML, got '{text}'; as text it is typed {typed}"
            )
    if problems:
        raise ConfigError(problems)
    return options


def _read_option(key: str, text: str, importer: str) -> Any:
    """Return the value of an option, read as in the files of the configuration."""
    from seglab.config.declared.check import as_written
    from seglab.config.typed_text import keys_of_names, mended
    from seglab.core.parts.components import components

    cfg = OmegaConf.create({key: OmegaConf.create(f"value:\n  {text}").value})
    value = as_written(cfg)[key]
    schema = components("importer").get(importer)
    if schema is None:
        return value  # the importer itself is refused then
    wrong = keys_of_names(cfg, schema)
    words = yaml.load(text, yaml.BaseLoader)  # noqa: S506  makes text, lists and mappings alone
    return mended(value, words, key, set().union(*wrong.values()))


def _open(data: str, root: Path | None) -> Manifest:
    """Open a manifest by path, or the data set of a choice in `conf/data`."""
    from seglab.config.language.grammar import literal_word
    from seglab.data.importers import open_dataset
    from seglab.data.manifest import Manifest

    if _is_path(data):
        return Manifest.read(Path(data).expanduser(), root)
    choices = _compose(
        [literal_word("data", data), *([literal_word("data.root", root)] if root else [])]
    )
    content = choices["data"]
    if content["importer"] != "synth" and content["root"] is None and content["manifest"] is None:
        raise ConfigError(f"--root: missing; give the folder of the raw data of '{data}'")
    return open_dataset(
        name=content["name"],
        importer=content["importer"],
        root=_path(content["root"]),
        manifest=_path(content["manifest"]),
        options=content["options"],
        data_dir=Path(choices["paths"]["data_dir"]),
    )


def _is_path(data: str) -> bool:
    path = Path(data).expanduser()
    return path.exists() or len(path.parts) > 1


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _augmentation(choice: str, changes: Sequence[str]) -> dict[str, Any]:
    from seglab.config.language.grammar import literal_word

    wrong = [word for word in changes if not word.startswith("augment.")]
    if wrong:
        raise ConfigError([f"--set: expected augment.KEY=VALUE, got '{word}'" for word in wrong])
    content = _compose([literal_word("augment", choice), *changes])["augment"]
    return dict(content)


def _compose(words: Sequence[str]) -> dict[str, Any]:
    from seglab.config.compose import compose

    cfg = compose(words, allow_missing=True)
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _read_samples(
    manifest: Manifest, args: argparse.Namespace
) -> tuple[list[tuple[str, Any, Any]], Bands | None]:
    """Return (sample_id, image, mask) of the first labelled samples of a split, and their bands.

    Raises:
        ConfigError: The split has none, or there are no such bands.
    """
    from seglab.data.bands.preview import read_bands
    from seglab.data.bands.statistics import choose_bands
    from seglab.data.images import read_image
    from seglab.data.masks import read_mask

    rows = manifest.split(args.split).to_dict(orient="records")
    labelled = [row for row in rows if row["mask"] is not None][: args.num_samples]
    if not labelled:
        counts = ", ".join(f"{split} {count}" for split, count in manifest.splits().items())
        raise ConfigError(f"--split: '{args.split}' has no labelled samples; there are {counts}")
    numbers, bands = choose_bands(args.bands, manifest), None
    paths = [manifest.root / row["image"] for row in labelled]
    if numbers is None:
        if args.display_bands is not None:
            raise ConfigError(
                f"--display-bands: {manifest.name} is read as RGB; choose bands with --bands"
            )
        images = [read_image(path) for path in paths]
    else:
        images, bands = read_bands(paths, numbers, args.display_bands)
    masks = [
        read_mask(manifest.root / row["mask"], manifest.labels, manifest.mask_encoding)
        for row in labelled
    ]
    names = [row["sample_id"] for row in labelled]
    return list(zip(names, images, masks, strict=True)), bands
