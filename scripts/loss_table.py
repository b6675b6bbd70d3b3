"""Prints what every annotation format loses of the masks of manifests, read back by the tools themselves.

    python scripts/loss_table.py MANIFEST... [--images 40] [--format NAME] [--write FILE]

Files are written by `seglab data export`'s code. The environment variable SEGLAB_ORACLES names the Pythons
that have the tools, parted as in PATH (see scripts/read_with_tool.py); where none of them has the tool of a
format, seglab's own reader reads and the row says so. Columns: mean IoU of the classes at tolerance 0 and
at 1 pixel, boundary F1 at 1 pixel (matched within 1 pixel), objects kept (connected regions of which at
least half the pixels still have their class) at both, and gaps: labelled pixels farther than 1 pixel from
unlabelled ones that came back unlabelled at 1 pixel. Unlabelled pixels that became a class are errors, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from read_with_tool import TOOLS

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.annotations.contours import find_regions
from seglab.annotations.format import AnnotationFormat, annotation_format, format_names
from seglab.annotations.reading import Tree
from seglab.data.annotated.export import ExportSettings, export_manifest, own_mask
from seglab.data.manifest import Manifest
from seglab.metrics import boundary_f1
from seglab.metrics.shape.boundary import BoundaryCounts, boundary_counts

_VOID = 255
_READER = Path(__file__).with_name("read_with_tool.py")
_TABLE = re.compile(r"(<!-- table: losses -->\n).*?(<!-- end -->)", re.DOTALL)
_HEAD = (
    "| format | read by | IoU, 0 px | IoU, 1 px | boundary F1, 1 px | objects, 0 px | objects, 1 px "
    "| gaps, 1 px |",
    "|---|---|---|---|---|---|---|---|",
)
Masks = Mapping[str, np.ndarray]


def python_with(module: str) -> str | None:
    """Return the first Python of SEGLAB_ORACLES, or this one, that has a module."""
    probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    pythons = [one for one in os.environ.get("SEGLAB_ORACLES", "").split(os.pathsep) if one]
    for python in [*pythons, sys.executable]:
        if not subprocess.run([python, "-c", probe], check=False, env=_clean()).returncode:
            return python
    return None


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def by_tool(name: str, python: str, root: Path, class_names: Iterable[str]) -> Masks:
    """Return what the tool of a format draws, by the stem of the image."""
    out = root.with_suffix(".npz")
    command = [python, str(_READER), name, str(root), str(out), "--classes", ",".join(class_names)]
    done = subprocess.run(command, env=_clean(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {python} failed:\n{done.stderr[-2000:]}")
    with np.load(out) as found:
        return {key: found[key] for key in found.files}


def by_seglab(annotation: AnnotationFormat, root: Path, rows: Mapping[str, Any]) -> Masks:
    """Return what seglab's own reader draws, by the stem of the image."""
    found = annotation.read(Tree(root, sorted(rows)))
    drawn = {}
    for one in found.images:
        row = rows[one.image]
        canvas = annotation.canvas(row.height, row.width, _VOID)
        for shape in one.load(row.height, row.width):
            canvas.draw(shape, row.values.get(shape.label, _VOID))
        drawn[Path(one.image).stem] = np.array(canvas.pixels)
    return drawn


@dataclasses.dataclass(frozen=True)
class _Size:
    height: int
    width: int
    values: Mapping[str, int]


def there_and_back(
    manifest: Manifest, name: str, tolerance: float, python: str | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every mask of a manifest and what is read of it, uint8 `(H, W)`."""
    annotation, labels = annotation_format(name), manifest.labels
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "there"
        settings = ExportSettings(tolerance, images="link")
        report = export_manifest(manifest, annotation, root, settings)
        if report.faults:
            raise SystemExit(f"{len(report.faults)} samples were left out: {report.faults}")
        values = {one: index for index, one in enumerate(labels.class_names)}
        rows = {}
        row: Any
        for row in manifest.table.itertuples():
            rows[annotation.image_path(row.sample_id, Path(row.image).suffix, row.split)] = row
        if python:
            back = by_tool(name, python, root, labels.class_names)
        else:
            sizes = {key: _Size(row.height, row.width, values) for key, row in rows.items()}
            back = by_seglab(annotation, root, sizes)
        for image, row in rows.items():
            mask = own_mask(manifest, row)
            if mask is not None:
                mask = np.where(mask == labels.ignore_index, _VOID, mask).astype(np.uint8)
                yield mask, back.get(Path(image).stem, np.full(mask.shape, _VOID, np.uint8))


def scores(
    manifest: Manifest, name: str, tolerance: float, python: str | None
) -> tuple[float, float, float, int]:
    """Return mean IoU, mean boundary F1, the share of objects kept, all in [0, 1], and pixels in gaps."""
    classes, gaps = manifest.labels.num_classes, 0
    confusion = np.zeros((classes + 1, classes + 1), np.int64)
    total, kept = 0, 0
    counts: BoundaryCounts | None = None
    for mask, drawn in there_and_back(manifest, name, tolerance, python):
        target, pred = (np.where(one == _VOID, classes, one).astype(int) for one in (mask, drawn))
        pair = (target * (classes + 1) + pred).reshape(-1)
        confusion += np.bincount(pair, minlength=confusion.size).reshape(confusion.shape)
        regions = find_regions(mask, _VOID)
        same = np.bincount(regions.index[mask == drawn], minlength=len(regions.values))[1:]
        sizes = np.bincount(regions.index.reshape(-1), minlength=len(regions.values))[1:]
        total, kept = total + len(sizes), kept + int((2 * same >= sizes).sum())
        one = boundary_counts(pred, target, classes + 1, tolerance_px=1.0)
        counts = one if counts is None else _added(counts, one)
        near = cv2.dilate((mask == _VOID).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        gaps += int(((drawn == _VOID) & ~near).sum())
    hits = np.diag(confusion)[:classes]
    union = confusion.sum(0)[:classes] + confusion.sum(1)[:classes] - hits
    iou = float((hits[union > 0] / union[union > 0]).mean())
    f1 = float("nan") if counts is None else float(np.nanmean(boundary_f1(counts)))
    return iou, f1, kept / max(total, 1), gaps


def _added(first: BoundaryCounts, second: BoundaryCounts) -> BoundaryCounts:
    names = [field.name for field in dataclasses.fields(first)]
    return BoundaryCounts(*(getattr(first, name) + getattr(second, name) for name in names))


def table_of(manifest: Manifest, names: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the table of a manifest."""
    yield from ("", f"{manifest.name}, {len(manifest.table)} images", "", *_HEAD)
    for name in names:
        module = TOOLS[name][0]
        python = python_with(module)
        reader = module if python else f"seglab ({module} is not there)"
        exact = scores(manifest, name, 0.0, python)
        has_outlines = annotation_format(name).drawing.has_polygons
        loose = scores(manifest, name, 1.0, python) if has_outlines else None
        cells = [exact[0], loose and loose[0], loose and loose[1], exact[2], loose and loose[2]]
        told = ["-" if one is None else f"{one:.4f}" for one in cells]
        yield f"| `{name}` | {reader} | {' | '.join(told)} | {'-' if loose is None else loose[3]} |"


def main() -> None:
    """Print a table a manifest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--images", type=int, help="only so many of each, evenly chosen")
    parser.add_argument(
        "--format", action="append", dest="formats", choices=format_names(), help="may be repeated"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write them into its place for them, too"
    )
    args = parser.parse_args()
    lines = []
    for path in args.manifests:
        manifest = Manifest.read(path)
        table = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
        if args.images and args.images < len(table):
            table = table.iloc[np.linspace(0, len(table) - 1, args.images).astype(int)]
        manifest = dataclasses.replace(manifest, table=table)
        for line in table_of(manifest, args.formats or format_names()):
            lines.append(line)
            print(line, flush=True)
    if args.write:
        text = args.write.read_text(encoding="utf-8")
        told = _TABLE.sub(lambda m: m[1] + "\n".join([*lines, "", m[2]]), text)
        args.write.write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
