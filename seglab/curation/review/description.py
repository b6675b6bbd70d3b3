"""A page about a data set: what each class looks like, how often it occurs, and what it rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglab.core.disk.files import write_text
from seglab.core.seeding import generator
from seglab.curation.review.cuts import Cutter
from seglab.curation.review.page import render, swatch
from seglab.data.description.class_support import object_sizes
from seglab.data.description.describe import Description, describe
from seglab.data.manifest import Manifest
from seglab.data.mask_parts import find_parts

_PICTURES = 4


def write_description(manifest: Manifest, path: Path, images: int = 200, seed: int = 0) -> Path:
    """Write the page and return its path.

    Args:
        manifest: The data set.
        path: Where to.
        images: Masks whose objects are measured and shown; drawn at random where there are more.
        seed: The same draws the same.

    Raises:
        DataError: A mask or image cannot be read.
    """
    rng = generator("description", seed, manifest.fingerprint)
    table = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
    everything = [
        {str(name): value for name, value in row.items()}
        for row in table.sort_values("sample_id").to_dict(orient="records")
    ]
    rows = [everything[place] for place in rng.permutation(len(everything))[:images]]
    parts = find_parts(manifest, rows)
    found = describe(manifest)
    page = render(
        "description",
        title=f"The data set {manifest.name}",
        found=found,
        splits=_records(found.splits),
        tags=_records(found.tags),
        classes=_classes(manifest, found, parts, Cutter(manifest, rows), rng),
        measured=len(rows),
        total=len(everything),
    )
    write_text(path, page)
    return path


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    named = table.rename_axis("name").reset_index()
    return [{str(key): value for key, value in row.items()} for row in named.to_dict("records")]


def _classes(
    manifest: Manifest,
    found: Description,
    parts: pd.DataFrame,
    cutter: Cutter,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Return what the page says of each class, the most frequent in training first."""
    labels, support = manifest.labels, found.support
    sizes = object_sizes(parts, labels)
    splits = [split for split in found.pixel_share.columns if split != "unlabeled"]
    content = []
    for index, name in enumerate(labels.class_names):
        own = parts[parts["class_index"] == index]
        counts = support.loc[name].to_dict()
        by_split = [
            {
                "split": split,
                "pixels": _percent(found.pixel_share.loc[name, split]),
                "share": _percent(found.image_share.loc[name, split]),
                "images": counts[split, "images"],
                "groups": counts[split, "groups"],
            }
            for split in splits
        ]
        size = sizes.loc[name].to_dict()
        content.append(
            {
                "name": name,
                "colour": swatch(labels, index),
                "splits": by_split,
                "objects": int(size["objects"]),
                "median_px": int(size["median"]) if len(own) else 0,
                "small": _percent(size["small"]),
                "cuts": cutter.cuts(_large(own), _PICTURES, rng) if len(own) else [],
            }
        )
    return sorted(content, key=lambda one: -one["splits"][0]["pixels"] if one["splits"] else 0)


def _large(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the tenth of the parts that most pixels lie in: specks say nothing of a class."""
    return parts[parts["area"] >= parts["area"].quantile(0.9)]


def _percent(share: Any) -> float:
    return 0.0 if np.isnan(share) else 100 * float(share)
