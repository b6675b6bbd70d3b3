"""What the camera sees and what is true of it: a street by day, others by night, a holdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglab.cli.main import run as seglab
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

DARK = {"dusk", "night"}
# Another seed's world, so that no drive of the day comes back at night.
_OTHER_WORLD = 1000


@dataclass(frozen=True)
class Frame:
    """One image as it arrives, with the mask that nobody but the oracle knows."""

    image: Path
    mask: np.ndarray
    drive: str


@dataclass(frozen=True)
class World:
    """Everything that a run of the loop needs.

    Attributes:
        street: Manifest that the first model is trained on, and that labels come back to.
        holdout: Frozen manifest with drives of both, in the split `test`.
        day: Frames of the day, drive after drive.
        night: Frames of the night, likewise.
    """

    street: Path
    holdout: Path
    day: list[Frame]
    night: list[Frame]


def step(*words: str, allowed: Sequence[int] = (0,)) -> int:
    """Run a command of seglab; anything but an allowed exit code ends the experiment."""
    code = seglab(list(words))
    if code not in allowed:
        raise SystemExit(f"seglab {' '.join(words)} ended with {code}")
    return code


def make_world(out: Path, seed: int, sizes: dict[str, int]) -> World:
    """Draw both worlds, or find them drawn, and share their drives out."""
    day = _draw(out / "day", seed, sizes["day"], val_fraction=0.25, test_fraction=0.25)
    night = _draw(
        out / "night",
        seed + _OTHER_WORLD,
        sizes["night"],
        val_fraction=0.05,
        test_fraction=0.9,
        domain_shift="night",
    )
    day_rows = day.table[day.table["tags"].map(lambda tags: not DARK & set(tags))]
    night_rows = night.table[night.table["split"] == "test"]
    day_seen, day_kept = _halves(day_rows[day_rows["split"] == "test"])
    night_seen, night_kept = _halves(night_rows, kept=1 / 3)
    street = out / "street"
    if not (street / "manifest.parquet").is_file():
        day.with_table(day_rows[day_rows["split"] != "test"]).write(street)
        _joined(out, {"day": day_kept, "night": night_kept}, day).write(out / "holdout")
    return World(street, out / "holdout", _frames(day, day_seen), _frames(night, night_seen))


def _draw(place: Path, seed: int, images: int, **options: Any) -> Manifest:
    if not (place / "manifest").is_dir():
        words = [f"{key}={json.dumps(value)}" for key, value in options.items()]
        flags = [word for one in ("frames_per_group=4", *words) for word in ("--option", one)]
        size = ["--image-size", "96", "128", "--seed", str(seed), "--num-images", str(images)]
        step("data", "synth", str(place), *size, *flags)
    return Manifest.read(place / "manifest")


def _halves(rows: pd.DataFrame, kept: float = 0.5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Share whole drives out: those that are sent, and those of the holdout."""
    drives = sorted(rows["group"].unique())
    held = set(drives[: round(kept * len(drives))])
    inside = rows["group"].isin(held)
    return rows[~inside], rows[inside]


def _joined(out: Path, parts: dict[str, pd.DataFrame], like: Manifest) -> Manifest:
    tables = []
    for name, rows in parts.items():
        moved = {key: [f"{name}/data/{path}" for path in rows[key]] for key in ("image", "mask")}
        names = {key: [f"{name}-{value}" for value in rows[key]] for key in ("sample_id", "group")}
        tables.append(rows.assign(**moved, **names, split="test"))
    table = pd.concat(tables, ignore_index=True)
    return dataclasses.replace(like, table=table, root=out, name="holdout")


def _frames(manifest: Manifest, rows: pd.DataFrame) -> list[Frame]:
    return [
        Frame(
            manifest.path(row.image),
            read_mask(manifest.path(row.mask), manifest.labels, manifest.mask_encoding),
            f"{manifest.root.parent.name}-{row.group}",
        )
        for row in rows.itertuples()
    ]
