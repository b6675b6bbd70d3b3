"""Predicted masks as the files of annotation tools, written anew of all images that are done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle
from seglab.core.disk.urls import is_url
from seglab.core.labels import LabelSpace
from seglab.deploy.predict.files.sources import Source
from seglab.deploy.predict.options import PredictFilesOptions

# Tracing outlines takes some 40 bytes a pixel.
_MOST_PIXELS = 25_000_000
# What a model proposes is told from what people drew.
_OPTIONS = {"label_studio": {"part": "predictions"}}


def labels_of(bundle: Bundle) -> LabelSpace:
    """Return the label space of a bundle."""
    held = bundle.info["labels"]
    palette = tuple((red, green, blue) for red, green, blue in held["palette"])
    return LabelSpace(tuple(held["class_names"]), palette, ignore_index=held["ignore_index"])


def write_annotations(
    folder: Path,
    done: Mapping[str, dict[str, Any]],
    sources: Sequence[Source],
    bundle: Bundle,
    options: PredictFilesOptions,
) -> dict[str, str]:
    """Write `annotations/FORMAT` in every format asked for; return what was left out, and why.

    Args:
        folder: Folder of predictions, with the masks in it.
        done: What the ledger knows.
        sources: The files; those that are not done are left out.
        bundle: Its classes.
        options: Formats, tolerance, class of unlabelled pixels, and whether images are put beside.

    Raises:
        ConfigError: The class of unlabelled pixels is none of the bundle's.
    """
    from seglab.annotations.format import annotation_format
    from seglab.core.parts.components import components
    from seglab.data.annotated.export import ExportSettings, export_manifest

    faults: dict[str, str] = {}
    kept = []
    for source in sources:
        if source.name in done and (reason := _why_not(source, done[source.name])):
            faults[str(source.place)] = reason
        elif source.name in done:
            kept.append(source)
    if not kept:
        return faults
    manifest = _manifest(kept, done, bundle)
    masks = {source.name: folder / done[source.name]["files"][0] for source in kept}
    settings = ExportSettings(options.tolerance, options.unlabelled, options.annotation_images)
    for name in options.annotations:
        declared = components("annotation_format")[name].read(_OPTIONS.get(name, {}))
        fresh = folder / "annotations" / f".{name}"
        shutil.rmtree(fresh, ignore_errors=True)
        report = export_manifest(
            manifest,
            annotation_format(name, declared),  # type: ignore[arg-type]
            fresh,
            settings,
            lambda row: _read(masks[row.sample_id]),
        )
        faults |= {f"{sample} ({name})": text for sample, text in report.faults.items()}
        place = folder / "annotations" / name
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
    return faults


def _why_not(source: Source, entry: Mapping[str, Any]) -> str:
    """Return why a file that is done has no annotation; empty where it has one."""
    if source.is_video:
        return "annotations are of images, this is a video"
    if entry["height"] * entry["width"] > _MOST_PIXELS:
        return f"too large for annotations, which take images of up to {_MOST_PIXELS} pixels"
    if "\\" in source.name or not source.name.isprintable():
        return "its name cannot stand in annotations; rename it"
    return ""


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as mask:
        return np.array(mask)


def _manifest(kept: Sequence[Source], done: Mapping[str, dict[str, Any]], bundle: Bundle) -> Any:
    import pandas as pd

    from seglab.data.manifest import Manifest
    from seglab.data.table import COLUMNS

    rows = [
        dict.fromkeys(COLUMNS)
        | {
            "sample_id": source.name,
            "image": str(source.place)
            if is_url(source.place)
            else os.path.relpath(source.place.absolute(), "/"),
            "height": done[source.name]["height"],
            "width": done[source.name]["width"],
            "split": "unlabeled",
            "group": source.name,
            "tags": [],
            "class_pixels": [],
            "flags": [],
            "keep": True,
        }
        for source in kept
    ]
    name = bundle.info["name"]
    return Manifest(pd.DataFrame(rows), labels_of(bundle), Path("/"), name, "index", {})
