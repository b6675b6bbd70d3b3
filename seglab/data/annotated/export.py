"""From a manifest, or what a model predicted for it, to the files of an annotation tool."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.vectorise import to_shapes
from seglab.core.disk.files import atomic_path
from seglab.core.disk.places import placing
from seglab.core.disk.urls import is_url
from seglab.core.errors import ConfigError, DataError, list_problems, nearest
from seglab.core.labels import LabelSpace
from seglab.data.annotated.options import VOID
from seglab.data.files.image_files import read_bytes
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

Images = Literal["copy", "link", "none"]
# Returns the mask of a row of the manifest, class indices uint8 (H, W); None: it has none.
MaskOf = Callable[[Any], np.ndarray | None]


@dataclass(frozen=True)
class ExportSettings:
    """What is written.

    Attributes:
        tolerance: How far outlines may move, in pixels; 0 keeps every pixel that the format can hold.
        unlabelled: `void`, or the class whose pixels no shape covers.
        images: Whether images are copied, linked to, or not written.
        splits: Those to write; empty: all.
        samples: The `sample_id` of those to write; None: all.
    """

    tolerance: float = 0.0
    unlabelled: str = VOID
    images: Images = "copy"
    splits: Sequence[str] = ()
    samples: Collection[str] | None = None


@dataclass
class Exported:
    """What was written.

    Attributes:
        images: Number of images.
        unannotated: How many of them nobody has annotated.
        shapes: Number of shapes by kind.
        faults: Reason by sample of what was left out.
    """

    images: int = 0
    unannotated: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)


def export_manifest(
    manifest: Manifest,
    annotation: AnnotationFormat,
    out: Path,
    settings: ExportSettings,
    mask_of: MaskOf | None = None,
) -> Exported:
    """Write the kept samples of a manifest in a format.

    Args:
        manifest: The data.
        annotation: The format.
        out: Folder to write into, new or empty.
        settings: What is written.
        mask_of: Where masks come from; the manifest's own by default.

    Raises:
        ConfigError: The class for unlabelled pixels is none, or the tolerance negative.
        DataError: The folder holds something, there is nothing to write, or no sample of a name that is
            asked for.
    """
    names, unlabelled = _names(manifest.labels, settings)
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; give a new folder")
    table = manifest.table[manifest.table["keep"]].sort_values("sample_id")
    if settings.splits:
        table = table[table["split"].isin(list(settings.splits))]
    if settings.samples is not None:
        table = _chosen(table, settings.samples)
    if not len(table):
        raise DataError(f"{manifest.name} has no samples to write")
    report = Exported()
    read = mask_of or (lambda row: own_mask(manifest, row))
    row: Any
    for row in table.itertuples():
        try:
            mask = read(row)
            if mask is not None and mask.shape != (row.height, row.width):
                raise DataError(
                    f"its mask has {mask.shape[0]} x {mask.shape[1]} pixels (H x W), its image "
                    f"{row.height} x {row.width}"
                )
            image = _place(manifest, row, annotation, out, settings)
        except DataError as error:
            report.faults[row.sample_id] = str(error)
            continue
        shapes = None
        if mask is not None:
            shapes = to_shapes(mask, names, annotation.drawing, unlabelled, settings.tolerance)
            report.shapes.update(shape.kind for shape in shapes)
        report.images += 1
        report.unannotated += mask is None
        labelled = LabelledImage(image, row.height, row.width, shapes, mask, row.split)
        annotation.write(out, labelled, manifest.labels)
    annotation.finish(out, manifest.labels)
    return report


def _chosen(table: pd.DataFrame, samples: Collection[str]) -> pd.DataFrame:
    """Return the rows of samples that are asked for by name."""
    known = set(table["sample_id"])
    missing = [f"{name!r}{nearest(name, known)}" for name in samples if name not in known]
    if missing:
        raise DataError(list_problems("there are no such samples among those to write", missing))
    return table[table["sample_id"].isin(list(samples))]


def own_mask(manifest: Manifest, row: Any) -> np.ndarray | None:
    """Return the mask of a row of a manifest, class indices uint8 `(H, W)`."""
    if row.mask is None:
        return None
    return read_mask(manifest.path(row.mask), manifest.labels, manifest.mask_encoding)


def _names(labels: LabelSpace, settings: ExportSettings) -> tuple[dict[int, str], int]:
    """Return the label of every value, and the value that is not drawn."""
    if not 0 <= settings.tolerance < float("inf"):
        raise ConfigError(f"--tolerance: expected 0 or more pixels, got {settings.tolerance}")
    names = dict(enumerate(labels.class_names)) | {labels.ignore_index: VOID}
    by_name = {name: value for value, name in names.items()}
    unlabelled = VOID if settings.unlabelled == VOID else settings.unlabelled
    if unlabelled not in by_name:
        raise ConfigError(
            f"--unlabelled: {unlabelled!r} is no class{nearest(unlabelled, by_name)}; classes are "
            f"{', '.join(labels.class_names)}"
        )
    return names, labels.ignore_index if unlabelled == VOID else by_name[unlabelled]


def _place(
    manifest: Manifest, row: Any, annotation: AnnotationFormat, out: Path, settings: ExportSettings
) -> str:
    """Put the image of a row where the format has it; return its path below the folder."""
    source = manifest.path(row.image)
    relative = Path(annotation.image_path(row.sample_id, source.suffix, row.split))
    if relative.is_absolute() or ".." in relative.parts:
        raise DataError(f"{row.sample_id}: a sample_id that leaves the folder")
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    if settings.images == "link" and is_url(source):
        raise DataError(f"{source}: a file by URL cannot be linked; copy it (--images copy)")
    target = out / relative
    # Read before, so that what is wrong with it is not said of the copy.
    content = read_bytes(source) if settings.images == "copy" else b""
    with placing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if settings.images == "link":
            target.symlink_to(os.path.realpath(source))
    if settings.images == "copy":
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    return relative.as_posix()
