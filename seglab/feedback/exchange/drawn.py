"""The masks of a queue, the model's or others, in the formats of annotation tools."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from seglab.annotations.format import annotation_format
from seglab.core.errors import DataError, list_problems
from seglab.core.parts.components import components
from seglab.data.annotated.export import ExportSettings, export_manifest
from seglab.data.files.images import read_image
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.data.table import COLUMNS
from seglab.feedback.queue.content import Item, Queue

# Returns the mask of an item, class indices of the queue uint8 `(H, W)`.
MaskOf = Callable[[Item], np.ndarray]
STUDIO = "label_studio"
# Connected regions of a mask that anybody would correct; tools are slow long before ten times that.
MOST_REGIONS = 2000


def model_mask(queue: Queue, item: Item) -> np.ndarray:
    """Return what the model drew of an item, class indices uint8 `(H, W)`."""
    return read_mask(queue.folder / item.mask, queue.labels)


def proposal(queue: Queue, item: Item) -> np.ndarray | None:
    """Return the model's mask; None where it is specks that are drawn anew faster than corrected."""
    mask = model_mask(queue, item)
    regions = sum(ndimage.label(mask == value)[1] for value in np.unique(mask))
    return mask if regions <= MOST_REGIONS else None


def write_annotations(
    queue: Queue, name: str, folder: Path, settings: ExportSettings, mask_of: MaskOf | None = None
) -> int:
    """Write masks of all items in a format; return how many have too many regions to be proposed.

    Args:
        queue: The queue.
        name: Of the format.
        folder: A new one.
        settings: Tolerance, class of unlabelled pixels, and whether images are put beside.
        mask_of: Where masks come from; the model by default, and then they are proposals.

    Raises:
        ConfigError: The class of unlabelled pixels is none.
        DataError: An image or mask cannot be written.
    """
    items = {one.id: one for one in queue.items}
    proposes = name == STUDIO and mask_of is None
    declared: Any = components("annotation_format")[name].read(
        {"part": "predictions"} if proposes else {}
    )
    read: Callable[[Item], np.ndarray | None] = mask_of or (lambda item: proposal(queue, item))
    report = export_manifest(
        _manifest(queue),
        annotation_format(name, declared),
        folder,
        settings,
        lambda row: read(items[row.sample_id]),
    )
    if report.faults:
        texts = [f"{sample}: {text}" for sample, text in report.faults.items()]
        raise DataError(list_problems(f"nothing is written to {folder}", texts))
    return report.unannotated


def studio_regions(
    queue: Queue, settings: ExportSettings | None = None, mask_of: MaskOf | None = None
) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """Return Label Studio's labelling configuration, and the regions that masks are there, by item.

    An item is left out whose mask, drawn by the model, is of too many regions.

    Args:
        queue: The queue.
        settings: Tolerance and class of unlabelled pixels; by default every pixel is kept.
        mask_of: Where masks come from, such as an oracle; the model by default.
    """
    given = settings or ExportSettings()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        without = ExportSettings(given.tolerance, given.unlabelled, "none")
        write_annotations(queue, STUDIO, out, without, mask_of)
        config = (out / "label_config.xml").read_text(encoding="utf-8")
        tasks = json.loads((out / "tasks.json").read_text(encoding="utf-8"))
    part = "annotations" if mask_of else "predictions"
    return config, {
        Path(one["data"]["image"]).stem: one[part][0]["result"] for one in tasks if one[part]
    }


def _manifest(queue: Queue) -> Manifest:
    rows = []
    for item in queue.items:
        height, width = read_image(queue.folder / item.image).shape[:2]
        own = {"sample_id": item.id, "image": item.image, "group": item.stream or item.id}
        empty: dict[str, Any] = {"tags": [], "class_pixels": [], "flags": []}
        size = {"height": height, "width": width, "split": "unlabeled", "keep": True}
        rows.append({**dict.fromkeys(COLUMNS), **own, **empty, **size})
    name = queue.bundle["name"]
    return Manifest(pd.DataFrame(rows), queue.labels, queue.folder, name, "index", {})
