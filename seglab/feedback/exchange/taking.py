"""Annotations taken back: a new version of a manifest, labels by request, and what they say of the model."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seglab.core.disk.files import atomic_path, write_json
from seglab.core.disk.mask_png import write_mask
from seglab.curation.versions import folder_of
from seglab.data.manifest import Manifest
from seglab.feedback.exchange.answers import Answer, read_answers, tool_of
from seglab.feedback.exchange.drawn import model_mask
from seglab.feedback.exchange.joining import Joined, join
from seglab.feedback.exchange.measuring import quality_of
from seglab.feedback.options import TakeOptions
from seglab.feedback.queue.content import Queue
from seglab.metrics.confusion import mask_confusion

LABELS_NAME, TAKEN_NAME, MASKS_NAME = "labels.parquet", "taken.json", "labels"
SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string()),  # null: a file of a folder
        pa.field("image", pa.int32(), nullable=False),  # number within the request
        pa.field("bundle", pa.string(), nullable=False),  # whose masks were corrected
        pa.field("part", pa.string(), nullable=False),  # control or hard
        pa.field("probability", pa.float64()),  # null: chosen, by no chance
        pa.field("mask", pa.string(), nullable=False),  # class indices, below the queue's folder
        pa.field(
            "confusion", pa.list_(pa.int64()), nullable=False
        ),  # `[label, predicted]` row by row
        pa.field("seconds", pa.float64()),
        pa.field("annotator", pa.string()),
    ]
)


def take(queue: Queue, options: TakeOptions) -> tuple[dict[str, Any], Joined]:
    """Take annotations back.

    Writes into the folder of the queue `labels.parquet`, a row a labelled image with its request and the
    counts of label against prediction; the masks as `labels/control/<request_id>-<image>.png` and
    `labels/hard/...`, of which the former alone measure quality without bias; and `taken.json`.
    Taken again, after more was annotated, these are written anew and the manifest gets one more version.

    Args:
        queue: The queue.
        options: Where the annotations are, and which manifest they join.

    Returns:
        What `taken.json` holds, and what became of the images.

    Raises:
        ConfigError: It is not known where the annotations are.
        DataError: They, or the manifest, do not fit.
        StudioError: The server refuses, or stays away.
    """
    place = Path(options.manifest).expanduser()
    manifest = Manifest.read(place)
    answers = read_answers(queue, options)
    labelled = [one for one in answers if one.status == "labelled"]
    joined = join(manifest, queue, labelled, options)
    confusions = {
        one.item.id: mask_confusion(
            model_mask(queue, one.item),
            one.mask,
            queue.labels.num_classes,
            queue.labels.ignore_index,
        )
        for one in labelled
        if one.mask is not None
    }
    _write_labels(queue, labelled, confusions)
    found = _told(queue, answers, confusions, joined)
    if joined.manifest is not manifest:
        joined.manifest.write(folder_of(place))
    found["tool"] = tool_of(queue, options)
    found["manifest"] = {"before": manifest.fingerprint, "now": joined.manifest.fingerprint}
    write_json(queue.folder / TAKEN_NAME, found)
    return found, joined


def _write_labels(
    queue: Queue, labelled: Sequence[Answer], confusions: dict[str, np.ndarray]
) -> None:
    shutil.rmtree(queue.folder / MASKS_NAME, ignore_errors=True)
    rows = []
    for one in labelled:
        item = one.item
        mask = f"{MASKS_NAME}/{item.part}/{item.id}.png"
        if one.mask is not None:
            write_mask(queue.folder / mask, one.mask, queue.labels.palette)
        rows.append(
            {
                "sample_id": item.id,
                "request_id": item.request_id,
                "image": item.number,
                "bundle": queue.bundle["id"],
                "part": item.part,
                "probability": item.probability,
                "mask": mask,
                "confusion": confusions[item.id].ravel().tolist(),
                "seconds": one.seconds,
                "annotator": one.annotator,
            }
        )
    with atomic_path(queue.folder / LABELS_NAME) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary)


def _told(
    queue: Queue, answers: Sequence[Answer], confusions: dict[str, np.ndarray], joined: Joined
) -> dict[str, Any]:
    """Return what came back, as plain content."""
    times = [one.seconds for one in answers if one.seconds is not None]
    quality = {
        part: quality_of(
            queue, part, [confusions[one.id] for one in queue.of_part(part) if one.id in confusions]
        ).to_dict()
        for part in ("control", "hard")
    }
    by_status: dict[str, list[str]] = {}
    for one in answers:
        by_status.setdefault(one.status, []).append(one.item.id)
    unchanged = [name for name, matrix in confusions.items() if np.trace(matrix) == matrix.sum()]
    return {
        "statuses": dict(Counter(one.status for one in answers)),
        "items": by_status,
        "broken": {one.item.id: one.why for one in answers if one.status == "broken"},
        "unchanged": unchanged,
        "several_annotations": [one.item.id for one in answers if one.annotations > 1],
        "seconds": {
            "items": len(times),
            "total": float(sum(times)),
            "median": float(np.median(times)) if times else None,
        },
        "quality": quality,
        "added": joined.added,
        "relabelled": joined.relabelled,
        "same": joined.same,
        "refused": joined.refused,
    }
