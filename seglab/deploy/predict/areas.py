"""The area of each class in each image, as a table: long, a row an image (or frame) and class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import atomic_path, write_text
from seglab.core.text.escape import csv_text

COLUMNS = ("image", "time_s", "class_index", "class_name", "pixels", "share", "area_m2")


def count_classes(mask: np.ndarray, num_classes: int) -> list[int]:
    """Return the number of pixels of each class in a mask of class indices."""
    counts: list[int] = np.bincount(mask.reshape(-1), minlength=num_classes).tolist()
    return counts


def write_areas(
    folder: Path, kind: str, done: Mapping[str, dict[str, Any]], class_names: Sequence[str]
) -> Path | None:
    """Write `areas.csv` or `areas.parquet` of all that is done; return its path, None for kind `none`.

    Of an image without georeference `area_m2` is empty, of an image `time_s`.
    """
    if kind == "none":
        return None
    rows = (row for name in sorted(done) for row in _rows(done[name], class_names))
    path = folder / f"areas.{kind}"
    if kind == "csv":
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
        write_text(path, text.getvalue())
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = zip(*rows, strict=True)
    types = (
        pa.string(),
        pa.float64(),
        pa.int64(),
        pa.string(),
        pa.int64(),
        pa.float64(),
        pa.float64(),
    )
    arrays = [pa.array(one, kind) for one, kind in zip(columns, types, strict=True)]
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(arrays, names=COLUMNS), temporary)
    return path


def _rows(entry: Mapping[str, Any], class_names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    image = csv_text(entry["name"].encode("utf-8", "replace").decode())
    for time_s, counts in entry["counts"]:
        total = sum(counts)
        for index, (name, pixels) in enumerate(zip(class_names, counts, strict=True)):
            area = entry.get("pixel_m2")
            square_metres = None if area is None else pixels * area
            yield image, time_s, index, csv_text(name), pixels, pixels / total, square_metres
