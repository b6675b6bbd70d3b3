"""Splits of many samples are drawn column by column, and are to the sample what they were row by row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.data.manifest import Manifest
from seglab.data.splits.drawing import draw_split
from seglab.data.splits.findings import leak_table, share_table, warnings_of
from seglab.data.splits.options import SplitOptions
from tests.data.test_manifest import make_row


def drives(rows: int) -> Manifest:
    """Frames of drives in no order: some unlabelled, left out, looking alike, copied, with rare classes."""
    rng = generator(0)
    made = []
    for number in rng.permutation(rows).tolist():
        drive, frame = divmod(number, 17)
        pixels = [*rng.integers(0, 90, 3).tolist(), int(rng.random() < 0.02), 0]
        labelled = number % 23 != 0
        made.append(
            make_row(
                f"day{drive % 3}/drive{drive}_{frame}",
                height=1,
                width=sum(pixels) + 1,
                class_pixels=[*pixels[:-1], 1] if labelled else [],
                mask="m.png" if labelled else None,
                split=("train", "val", "test")[number % 3] if labelled else "unlabeled",
                group=f"drive{drive}",
                sha256=f"{number % 870:064x}",
                phash=None if number % 31 == 0 else f"{int(rng.integers(0, 400)) << 20:016x}",
                flags=["dark", "split_gap"] if number % 19 == 0 else [],
                keep=number % 19 != 0 and number % 37 != 0,
            )
        )
    labels = LabelSpace(("a", "b", "c", "d"))
    return Manifest(pd.DataFrame(made), labels, Path("/data"), "drives", "index", {})


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        ({"by": ("column",)}, "d11932ada536822f"),
        ({"by": ("column",), "val": 0.3, "seed": 3, "pooled": ("train", "val")}, "8beddeb91e82594d"),
        ({"by": ("names",), "block": 5, "gap": 2, "test": 0.2}, "3db59a5c23a87942"),
        ({"by": ("near_duplicates",), "max_hash_distance": 0, "val": 0.4}, "57260a0a04021930"),
        ({"by": ("pattern",), "pattern": ".+", "test": 0.1}, "e76ff516e89eb0c9"),
    ],
)
def test_splits_are_those_of_before(options: dict[str, Any], digest: str) -> None:
    chosen = SplitOptions(**options)
    drawn = draw_split(drives(900), chosen)
    told = [
        drawn.manifest.fingerprint,
        list(drawn.units),
        list(drawn.placed),
        {source: list(names) for source, names in drawn.names.items()},
        leak_table(drawn, chosen.seed).to_csv(),
        share_table(drawn).to_csv(),
        warnings_of(drawn, chosen),
    ]
    assert hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] == digest
