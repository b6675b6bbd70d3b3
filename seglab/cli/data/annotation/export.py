"""`seglab data export`: masks of a manifest, or a model's, as the files of an annotation tool."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli.data.importer_options import parse_options
from seglab.core.errors import ConfigError, DataError, DataNotFoundError, list_problems, nearest
from seglab.core.parts.components import components

if TYPE_CHECKING:
    from seglab.annotations.format import AnnotationFormat
    from seglab.data.annotated.export import MaskOf
    from seglab.data.manifest import Manifest


def _formats() -> list[str]:
    import seglab.annotations.options  # noqa: F401 - declares them

    return list(components("annotation_format"))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command."""
    parser.add_argument("manifest", type=Path, help="a manifest (folder or .parquet)")
    parser.add_argument("--root", type=Path, help="where the raw data is")
    add_format(parser)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="PX",
        help="how far outlines may move, in pixels; 0 (default) keeps what the format can hold",
    )
    parser.add_argument(
        "--unlabelled",
        default="void",
        metavar="CLASS",
        help="the class whose pixels no shape covers; void (default): those that do not count",
    )
    parser.add_argument("--images", choices=("copy", "link", "none"), default="copy")
    parser.add_argument(
        "--split", action="append", default=[], dest="splits", help="may be repeated"
    )
    parser.add_argument(
        "--worst",
        type=int,
        metavar="N",
        help="only the N images whose labels are likeliest wrong, as `seglab data audit --run` ranked them",
    )
    parser.add_argument("--ranking", type=Path, help="for --worst; audit beside the manifest")
    parser.add_argument(
        "--samples", type=Path, metavar="FILE", help="only these: a text file, a sample_id a line"
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="RUN_DIR",
        help="an evaluation with save_predictions=true (of a run or an ensemble), or a cross-validation: "
        "its masks instead of the manifest's; images without one are written as not annotated",
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the words that name a format and its options, as `format_maker` takes them."""
    parser.add_argument("--format", dest="annotation", required=True, help=", ".join(_formats()))
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="an option of the format, value in YAML; may be repeated",
    )


def work(args: argparse.Namespace) -> int:
    """Export and print what was written; 1 where samples were left out."""
    from seglab.data.annotated.export import ExportSettings, export_manifest
    from seglab.data.manifest import Manifest

    make = format_maker(args)
    manifest = Manifest.read(args.manifest.expanduser(), args.root)
    settings = ExportSettings(
        args.tolerance, args.unlabelled, args.images, tuple(args.splits), _samples(args)
    )
    masks = None if args.predictions is None else _predicted(args.predictions, manifest)
    report = export_manifest(manifest, make(), args.out, settings, masks)
    shapes = ", ".join(f"{count} {kind}s" for kind, count in sorted(report.shapes.items()))
    empty = f", {report.unannotated} of them not annotated" if report.unannotated else ""
    sys.stdout.write(f"{args.out}: {report.images} images{empty}; {shapes or 'no shapes'}\n")
    if not report.faults:
        return 0
    texts = [f"{sample}: {text}" for sample, text in report.faults.items()]
    sys.stderr.write(list_problems(f"{len(texts)} samples are left out", texts, len(texts)) + "\n")
    return 1


def format_maker(args: argparse.Namespace) -> Callable[[], AnnotationFormat]:
    """Return what makes the format that `--format` and `--option` ask for.

    Raises:
        ConfigError: There is no such format, or it has no such option.
    """
    from seglab.annotations.format import annotation_format

    known: Any = components("annotation_format")
    if args.annotation not in _formats():
        raise ConfigError(
            f"--format: unknown format {args.annotation!r}{nearest(args.annotation, known)}; formats "
            f"are {', '.join(known)}"
        )
    options = known[args.annotation].read(parse_options(args.options, args.annotation), "--option")
    return partial(annotation_format, args.annotation, options)


def read_names(path: Path) -> list[str]:
    """Read the file of `--samples`: a sample_id a line, each once.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no text, or names no sample.
    """
    if not path.is_file():
        raise DataNotFoundError(f"--samples: there is no file {path}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"--samples: {path} is no text in UTF-8: {error}") from error
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise DataError(f"--samples: {path} names no sample; expected a sample_id a line")
    return names


def _samples(args: argparse.Namespace) -> list[str] | None:
    """Return the samples that `--worst` or `--samples` asks for; None: all."""
    from seglab.curation.labels.ranking import read_ranking
    from seglab.curation.versions import folder_of

    if args.ranking is not None and args.worst is None:
        raise ConfigError("--ranking: goes with --worst N")
    if args.worst is not None and args.samples is not None:
        raise ConfigError("--worst and --samples both say which; give one")
    if args.samples is not None:
        return read_names(args.samples)
    if args.worst is None:
        return None
    ranking = read_ranking(args.ranking or folder_of(args.manifest.expanduser()) / "audit")
    names = list(dict.fromkeys(ranking["sample_id"]))
    if not 1 <= args.worst <= len(names):
        raise ConfigError(
            f"--worst: expected 1 to the {len(names)} images ranked, got {args.worst}"
        )
    return names[: args.worst]


def _predicted(run_dir: Path, manifest: Manifest) -> MaskOf:
    """Return what reads the mask that a run, or the folds of a cross-validation, predicted for a row."""
    import numpy as np

    from seglab.core.labels import LabelSpace
    from seglab.data.files.masks import read_mask
    from seglab.runs.folds import model_dirs
    from seglab.runs.predictions import prediction_path, read_probabilities

    if not run_dir.is_dir():
        raise ConfigError(f"--predictions: there is no folder {run_dir}")
    folders = model_dirs(run_dir)
    _require_same_classes(run_dir, folders, manifest)
    known = manifest.labels
    labels = LabelSpace(known.class_names, ignore_index=known.ignore_index)

    def kept(row: Any) -> list[Path]:
        return [one for one in folders if prediction_path(one, row.sample_id).is_file()]

    def read(row: Any) -> Any:
        places = kept(row)
        if len(places) < 2:
            masks = [read_mask(prediction_path(one, row.sample_id), labels) for one in places]
            return masks[0] if masks else None
        found = [read_probabilities(one, row.sample_id, labels.num_classes) for one in places]
        shares = [one for one in found if one is not None]
        if len(shares) < len(places):
            raise ConfigError(
                f"--predictions: {len(places)} folds predict {row.sample_id}, {len(shares)} of them kept "
                "probabilities to average; evaluate again with save_probabilities=true"
            )
        return np.mean(shares, axis=0).argmax(0).astype("uint8")

    rows: Any = manifest.table.itertuples()
    if not any(kept(row) for row in rows):
        raise ConfigError(
            f"--predictions: {run_dir} holds no masks of these samples; write them with `seglab "
            f"evaluate run={run_dir} save_predictions=true` and give the folder of that evaluation "
            "(the `record` that it prints)"
        )
    return read


def _require_same_classes(run_dir: Path, folders: list[Path], manifest: Manifest) -> None:
    """Refuse predictions of a model that knows other classes than the manifest."""
    from seglab.data.manifest import Manifest
    from seglab.runs.record import RunRecord

    places = [run_dir, *folders]
    if (run_dir / "run.json").is_file() and (
        parent := RunRecord.open(run_dir).read().get("parent")
    ):
        places.append(run_dir.parent / str(parent))
    trained = next((one for one in places if (one / "manifest").is_dir()), None)
    if trained is None:
        return
    own = Manifest.read(trained / "manifest").labels.class_names
    if own != manifest.labels.class_names:
        raise ConfigError(
            f"--predictions: {run_dir} knows the classes {', '.join(own)}; {manifest.name} has "
            f"{', '.join(manifest.labels.class_names)}. Give a run of the same classes in the same order"
        )
