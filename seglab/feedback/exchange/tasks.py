"""Tasks as Label Studio exports them: put where annotations are read, and what they tell besides."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError
from seglab.feedback.exchange.studio import SAMPLE
from seglab.feedback.queue.content import Queue

# What Label Studio puts before the name of a file that was uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


class Told(NamedTuple):
    """What a tool tells of an item beside its shapes."""

    annotations: int = 0
    """How many there are that were not skipped."""
    is_skipped: bool = False
    """Whether all of them were."""
    seconds: float | None = None
    """How long annotators were at it; None: not told."""
    annotator: str | None = None
    """Who made the annotation that counts; None: not told."""


def tasks_in(path: Path) -> list[dict[str, Any]]:
    """Return the tasks of an export.

    Raises:
        DataError: It is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, list) and all(isinstance(one["data"], dict) for one in content):
            return content
    except (ValueError, KeyError, TypeError, OSError):
        pass
    raise DataError(f"{path}: expected a folder, or tasks as Label Studio exports them (JSON)")


def put_tasks(
    queue: Queue, tasks: list[dict[str, Any]], folder: Path, counts_first: bool
) -> dict[str, Told]:
    """Write tasks and their images into a folder that is made anew; return what they tell besides.

    Tasks of one item count as one; those of other images are passed over.

    Args:
        queue: The queue.
        tasks: With their annotations.
        folder: To write into.
        counts_first: Whether of several annotations the first one counts, else the last.

    Raises:
        DataError: No task is of the queue.
    """
    items = {one.id: one for one in queue.items}
    by_item: dict[str, list[dict[str, Any]]] = {}
    for one in tasks:
        name = _UPLOADED.sub("", Path(str(one["data"].get("image", ""))).stem)
        key = str(one["data"].get(SAMPLE, name))
        if key in items:
            by_item.setdefault(key, []).extend(one.get("annotations") or [])
    if not by_item:
        raise DataError(
            f"none of the {len(tasks)} tasks is of the queue {queue.folder}; is it of another project?"
        )
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "images").mkdir(parents=True)
    written, told = [], {}
    for key, made in by_item.items():
        image = items[key].image
        shutil.copyfile(queue.folder / image, folder / image)
        ordered = sorted(made, key=lambda one: str(one.get("created_at", "")))
        written.append({"data": {"image": image}, "annotations": ordered})
        told[key] = _told(ordered, counts_first)
    write_json(folder / "tasks.json", written)
    return told


def _told(annotations: list[dict[str, Any]], counts_first: bool) -> Told:
    kept = [one for one in annotations if not one.get("was_cancelled")]
    times = [float(one["lead_time"]) for one in annotations if one.get("lead_time") is not None]
    who = None
    if kept:
        maker = kept[0 if counts_first else -1].get("completed_by")
        who = maker.get("email") or maker.get("id") if isinstance(maker, dict) else maker
    skipped = bool(annotations) and not kept
    name = None if who is None else str(who)
    return Told(len(kept), skipped, sum(times) if times else None, name)
