"""The page of a comparison: every changed mask before and now, its changed pixels marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import write_text
from seglab.core.errors import DataError
from seglab.curation.changes.compare import Changes, changed_pixels, in_words, masks_of
from seglab.curation.review.page import overlay, photo, render, swatch
from seglab.curation.samples import read_sample
from seglab.data.manifest import Manifest

MOST_PICTURES = 200
_SIDE = 420
_MARK = np.array([255, 0, 220], dtype=np.uint8)


def write_changes_page(changes: Changes, path: Path, most: int = MOST_PICTURES) -> int:
    """Write the page in one step and return its size in bytes.

    Args:
        changes: The comparison.
        path: File to write.
        most: Samples beyond so many have no picture; the page says so.
    """
    rows = [
        manifest.table.set_index("sample_id", drop=False).to_dict(orient="index")
        for manifest in (changes.former, changes.now)
    ]
    shown = []
    for one in sorted(changes.masks, key=lambda one: -one.pixels)[:most]:
        before, after = (_plain(part[one.sample_id]) for part in rows)
        moves = [f"{old} -> {new}: {n:,} px" for (old, new), n in one.moves.most_common(8)]
        pictures = _pictures(changes, before, after)
        shown.append({"name": one.sample_id, "said": one.unknown or "; ".join(moves), **pictures})
    others = [
        {"name": name, "said": what, "image": _image(manifest, _plain(part[name]))}
        for names, what, manifest, part in (
            (changes.added, "added", changes.now, rows[1]),
            (changes.removed, "removed", changes.former, rows[0]),
            (changes.images, "another image", changes.now, rows[1]),
        )
        for name in names[: max(0, most - len(shown))]
    ]
    whole = len(changes.masks) + len(changes.added) + len(changes.removed) + len(changes.images)
    html = render(
        "changes",
        title=f"Changes of {changes.now.name}",
        former=changes.former.fingerprint,
        now=changes.now.fingerprint,
        lines=list(in_words(changes)),
        masks=shown,
        others=others,
        left_out=whole - len(shown) - len(others),
        classes=_classes(changes),
    )
    write_text(path, html)
    return len(html.encode())


def _plain(row: Any) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _classes(changes: Changes) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for manifest in (changes.former, changes.now):
        for index, name in enumerate(manifest.labels.class_names):
            found.setdefault(name, swatch(manifest.labels, index))
    return [{"name": name, "colour": colour} for name, colour in found.items()]


def _image(manifest: Manifest, row: dict[str, Any]) -> str:
    image = read_sample(manifest, {**row, "mask": None}).image
    return "" if image is None else photo(image, _SIDE)


def _pictures(changes: Changes, before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return image, both masks, and what changed marked, as data URIs; "" where unreadable."""
    sample = read_sample(changes.now, {**after, "mask": None})
    found = {"image": "", "old": "", "new": "", "marked": ""}
    if sample.image is not None:
        found["image"] = photo(sample.image, _SIDE)
    try:
        old, new = masks_of(changes.former, changes.now, before, after)
    except DataError:
        return found
    found["old"] = overlay(old, changes.former.labels, _SIDE)
    found["new"] = overlay(new, changes.now.labels, _SIDE)
    if sample.image is not None and sample.image.shape[:2] == old.shape:
        marked = (sample.image // 3 + 120).astype(np.uint8)
        marked[changed_pixels(changes.former, changes.now, old, new)] = _MARK
        found["marked"] = photo(marked, _SIDE)
    return found
