"""Instructions for annotators: definitions, examples and hard cases, the latter two out of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglab.core.disk.files import write_text
from seglab.core.errors import DataError
from seglab.core.seeding import generator
from seglab.curation.review.cuts import Cutter, usual_parts
from seglab.curation.review.page import render, swatch
from seglab.curation.review.wording import ClassWording, Wording
from seglab.data.manifest import Manifest
from seglab.data.mask_parts import find_parts

# Parts below this share of all parts of a class are its small ones.
_SMALL = 0.05
# Parts below this share of the image are specks, slips of the pen that say nothing of sizes.
_SPECK = 1e-4
_RULES = {
    "overlap": "Where objects overlap the nearer one is drawn over the farther one.",
    "partly_visible": "Of an object at the image's edge, or behind another, draw what can be seen.",
    "too_small": "Smaller than the size given: do not draw it as an object of its own.",
}


@dataclass(frozen=True, eq=False)
class Instructions:
    """Instructions that were written.

    Args:
        page: The page.
        images: Masks that were looked at.
        undefined: Classes nobody wrote a definition of.
        unseen: Classes that occur in none of those masks.
    """

    page: Path
    images: int
    undefined: tuple[str, ...]
    unseen: tuple[str, ...]


def write_instructions(
    manifest: Manifest,
    path: Path,
    wording: Wording | None = None,
    examples: int = 4,
    images: int = 200,
    seed: int = 0,
) -> Instructions:
    """Write the page.

    Args:
        manifest: The data set; samples that are kept and have a mask are looked at.
        path: Where to.
        wording: What people wrote; sizes and examples come from the data all the same.
        examples: Pictures of each class, and half as many of each hard case.
        images: Masks to look at; drawn at random where there are more.
        seed: The same draws the same.

    Raises:
        DataError: There is no mask, or one cannot be read.
    """
    wording = wording or Wording()
    rng = generator("instructions", seed, manifest.fingerprint)
    table = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
    if table.empty:
        raise DataError(f"{manifest.name} has no mask to show")
    drawn = table.sort_values("sample_id").iloc[rng.permutation(len(table))[:images]]
    rows = [{str(name): value for name, value in row.items()} for row in drawn.to_dict("records")]
    pixels = (drawn["height"] * drawn["width"]).to_numpy()
    parts = find_parts(manifest, rows)
    parts["speck"] = parts["area"].to_numpy() < _SPECK * pixels[parts["row"].to_numpy(dtype=int)]
    names = manifest.labels.class_names
    cutter = Cutter(manifest, rows)
    classes = [
        _class_content(cutter, parts[parts["class_index"] == index], index, wording, examples, rng)
        for index in range(len(names))
    ]
    page = render(
        "instructions",
        title=wording.title or f"How to draw {manifest.name}",
        general=_paragraphs(wording.general),
        rules=[
            (name.replace("_", " "), wording.hard_cases.get(name) or rule)
            for name, rule in _RULES.items()
        ],
        classes=classes,
        images=len(rows),
        total=len(table),
        speck_px=round(_SPECK * float(np.median(pixels))),
        ignored=_ignored_share(table),
        fingerprint=manifest.fingerprint,
    )
    write_text(path, page)
    return Instructions(
        path,
        len(rows),
        tuple(name for name in names if not wording.classes.get(name, ClassWording()).definition),
        tuple(one["name"] for one in classes if not one["images"]),
    )


def _ignored_share(table: pd.DataFrame) -> float:
    pixels = np.sum([one for one in table["class_pixels"] if one], axis=0)
    return float(pixels[-1] / pixels.sum())


def _paragraphs(text: str) -> list[str]:
    return [one.strip() for one in text.split("\n\n") if one.strip()]


def _class_content(
    cutter: Cutter,
    parts: pd.DataFrame,
    index: int,
    wording: Wording,
    examples: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    labels = cutter.manifest.labels
    name = labels.class_names[index]
    said = wording.classes.get(name, ClassWording())
    images, specks = int(parts["row"].nunique()), int(parts["speck"].sum())
    # Of a class that is drawn in specks alone they are its parts.
    parts = parts if parts["speck"].all() else parts[~parts["speck"]]
    areas = parts["area"].to_numpy()
    small = int(np.quantile(areas, _SMALL)) if len(areas) else 0
    limit = said.smallest_px or small
    few = max(1, examples // 2)
    return {
        "name": name,
        "colour": swatch(labels, index),
        "definition": _paragraphs(said.definition),
        "include": said.include,
        "exclude": said.exclude,
        "images": images,
        "parts": len(parts),
        "specks": specks,
        "median_px": int(np.median(areas)) if len(areas) else 0,
        "small_px": small,
        "side_px": max(1, round(limit**0.5)),
        "limit_px": limit,
        "decided": said.smallest_px is not None,
        "cut_off": float(parts["cut_off"].mean()) if len(parts) else 0.0,
        "examples": cutter.cuts(usual_parts(parts), examples, rng),
        "hard": {
            "overlap": cutter.cuts(_crowded(parts), few, rng),
            "partly visible": cutter.cuts(_cut_off(parts), few, rng),
            "too small": cutter.cuts(parts[parts["area"] <= max(limit, 1)], few, rng),
        }
        if len(parts)
        else {},
    }


def _crowded(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the parts that touch most other classes, at least two."""
    most = max(2, int(parts["beside"].quantile(0.95)))
    return parts[parts["beside"] >= most]


def _cut_off(parts: pd.DataFrame) -> pd.DataFrame:
    large = parts["area"] >= parts["area"].median()
    return parts[(parts["cut_off"] == 1) & large]
