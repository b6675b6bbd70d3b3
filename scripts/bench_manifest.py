"""How long a manifest of many rows takes to check, write, open and split: wall and processor seconds.

    python scripts/bench_manifest.py 1000000

The rows are made up: scenes of 20 frames, five classes, random hashes; no image is there or read.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from seglab.core.labels import LabelSpace
from seglab.data.manifest import Manifest
from seglab.data.splits.drawing import draw_split
from seglab.data.splits.findings import format_split
from seglab.data.splits.options import SplitOptions

_FRAMES, _CLASSES = 20, "abcde"
_SPLITS = {
    "by default": SplitOptions(),
    "groups": SplitOptions(by=("column",)),
    "runs with gaps": SplitOptions(by=("names",), block=10, gap=2, test=0.1),
    "each image alone": SplitOptions(by=("near_duplicates",), max_hash_distance=0, test=0.1),
}
_T = TypeVar("_T")


def make_table(rows: int) -> pd.DataFrame:
    """Return a valid table of so many rows."""
    rng = np.random.default_rng(0)
    ids = [f"scene{row // _FRAMES}/f{row % _FRAMES:02d}" for row in range(rows)]
    pixels = rng.integers(0, 1000, (rows, len(_CLASSES) + 1))
    pixels[:, -1] = 0
    return pd.DataFrame(
        {
            "sample_id": ids,
            "image": [f"images/{name}.png" for name in ids],
            "mask": [f"masks/{name}.png" for name in ids],
            "height": 1,
            "width": pixels.sum(axis=1),
            "split": "train",
            "group": [name.split("/")[0] for name in ids],
            "annotator": None,
            "tags": [[] for _ in ids],
            "sha256": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
            "mask_sha256": [hashlib.sha256(b"m" + name.encode()).hexdigest() for name in ids],
            "phash": [f"{value:016x}" for value in rng.integers(0, 2**63, rows)],
            "class_pixels": pixels.tolist(),
            "flags": [[] for _ in ids],
            "keep": True,
        }
    )


def _clock(name: str, work: Callable[[], _T]) -> _T:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    spent = time.perf_counter() - wall, time.process_time() - processor
    sys.stdout.write(f"{name:<24}{spent[0]:8.2f} s wall{spent[1]:8.2f} s processor\n")
    sys.stdout.flush()
    return result


def main() -> None:
    """Print one line a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    rows = parser.parse_args().rows
    table, labels = make_table(rows), LabelSpace(tuple(_CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = _clock("check", lambda: Manifest(table, labels, place, "many", "index", {}))
        _clock("write", lambda: made.write(place))
        manifest = _clock("open", lambda: Manifest.read(place))
    for name, options in _SPLITS.items():
        drawn = _clock(f"split: {name}", functools.partial(draw_split, manifest, options))
        _clock("  its report", functools.partial(format_split, drawn, options))


if __name__ == "__main__":
    main()
