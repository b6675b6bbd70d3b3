"""Prints what every annotation format loses of the masks of manifests, there and back.

    python scripts/loss_table.py MANIFEST... [--images 40] [--format NAME]

Columns: mean IoU of the classes at tolerance 0 and at 1 pixel, boundary F1 at 1 pixel (matched within 1
pixel), and objects kept (connected regions of which at least half the pixels still have their class) at
tolerance 0 and at 1 pixel. Files are written by `seglab data export`'s code and read by the importers'.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seglab.annotations.contours import find_regions
from seglab.annotations.format import AnnotationFormat, annotation_format, format_names
from seglab.annotations.reading import Tree
from seglab.data.annotated.export import ExportSettings, export_manifest, own_mask
from seglab.data.manifest import Manifest
from seglab.metrics import boundary_f1
from seglab.metrics.boundary import BoundaryCounts, boundary_counts

_VOID = 255


def there_and_back(
    manifest: Manifest, annotation: AnnotationFormat, tolerance: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every mask of a manifest and what is read of it, uint8 `(H, W)`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        settings = ExportSettings(tolerance, images="link")
        report = export_manifest(manifest, annotation, root, settings)
        if report.faults:
            raise SystemExit(f"{len(report.faults)} samples were left out: {report.faults}")
        places = {}
        row: Any
        for row in manifest.table.itertuples():
            suffix = Path(row.image).suffix
            path = annotation.image_path(row.sample_id, suffix, row.split)
            places[Path(path).as_posix()] = row
        found = annotation.read(Tree(root, sorted(places)))
        values = dict.fromkeys(found.void, _VOID)
        values |= {name: index for index, name in enumerate(manifest.labels.class_names)}
        drawn = {}
        for one in found.images:
            row = places[one.image]
            canvas = annotation.canvas(row.height, row.width, _VOID)
            for shape in one.load(row.height, row.width):
                canvas.draw(shape, values.get(shape.label, _VOID))
            drawn[one.image] = np.array(canvas.pixels)
        for image, row in places.items():
            mask = own_mask(manifest, row)
            if mask is not None:
                yield mask, drawn.get(image, np.full(mask.shape, _VOID, np.uint8))


def scores(manifest: Manifest, annotation: AnnotationFormat, tolerance: float) -> list[float]:
    """Return mean IoU, mean boundary F1 and the share of objects kept, all in [0, 1]."""
    classes = manifest.labels.num_classes
    confusion = np.zeros((classes + 1, classes + 1), np.int64)
    total, kept = 0, 0
    counts: BoundaryCounts | None = None
    for mask, drawn in there_and_back(manifest, annotation, tolerance):
        target, pred = (np.where(one == _VOID, classes, one).astype(int) for one in (mask, drawn))
        pair = (target * (classes + 1) + pred).reshape(-1)
        confusion += np.bincount(pair, minlength=confusion.size).reshape(confusion.shape)
        regions = find_regions(mask, _VOID)
        same = np.bincount(regions.index[mask == drawn], minlength=len(regions.values))[1:]
        sizes = np.bincount(regions.index.reshape(-1), minlength=len(regions.values))[1:]
        total, kept = total + len(sizes), kept + int((2 * same >= sizes).sum())
        one = boundary_counts(pred, target, classes + 1, tolerance_px=1.0)
        counts = one if counts is None else _added(counts, one)
    hits = np.diag(confusion)[:classes]
    union = confusion.sum(0)[:classes] + confusion.sum(1)[:classes] - hits
    iou = float((hits[union > 0] / union[union > 0]).mean())
    f1 = float("nan") if counts is None else float(np.nanmean(boundary_f1(counts)))
    return [iou, f1, kept / max(total, 1)]


def _added(first: BoundaryCounts, second: BoundaryCounts) -> BoundaryCounts:
    names = [field.name for field in dataclasses.fields(first)]
    return BoundaryCounts(*(getattr(first, name) + getattr(second, name) for name in names))


def main() -> None:
    """Print a table a manifest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--images", type=int, help="only so many of each, evenly chosen")
    parser.add_argument("--format", action="append", dest="formats", help="may be repeated")
    args = parser.parse_args()
    for path in args.manifests:
        manifest = Manifest.read(path)
        table = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
        if args.images and args.images < len(table):
            table = table.iloc[np.linspace(0, len(table) - 1, args.images).astype(int)]
        manifest = dataclasses.replace(manifest, table=table)
        sys.stdout.write(f"\n{manifest.name}, {len(table)} images\n\n")
        sys.stdout.write(
            "| format | IoU, 0 px | IoU, 1 px | boundary F1, 1 px | objects, 0 px | objects, 1 px |\n"
        )
        sys.stdout.write("|---|---|---|---|---|---|\n")
        for name in args.formats or format_names():
            if not annotation_format(name).reads:
                continue
            exact = scores(manifest, annotation_format(name), 0.0)
            loose = scores(manifest, annotation_format(name), 1.0)
            cells = (exact[0], loose[0], loose[1], exact[2], loose[2])
            sys.stdout.write(f"| `{name}` | " + " | ".join(f"{one:.4f}" for one in cells) + " |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
