"""The annotator: knows the true mask of every frame, and corrects a queue in LabelMe or Label Studio."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from world import Frame, step

from seglab.data.annotated.export import ExportSettings
from seglab.feedback.exchange.drawn import studio_regions, write_annotations
from seglab.feedback.exchange.pushing import push, pushes
from seglab.feedback.exchange.studio import Studio
from seglab.feedback.options import SERVER, PushOptions
from seglab.feedback.queue.content import Item, Queue

MaskOf = Callable[[Item], np.ndarray]


def truth(queue: Queue, frames: Sequence[Frame], classes: int, poisoned: bool = False) -> MaskOf:
    """Return what gives an item's true mask; poisoned: with its classes exchanged, one for the next."""
    known = {_digest(frame.image): frame.mask for frame in frames}

    def mask_of(item: Item) -> np.ndarray:
        mask = known[_digest(queue.folder / item.image)].copy()
        if poisoned:
            mask[mask < classes] = (mask[mask < classes] + 1) % classes
        return mask

    return mask_of


def _digest(path: Path) -> str:
    """Stand for the pixels, however the file was written."""
    with Image.open(path) as image:
        return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def correct(queue: Queue, mask_of: MaskOf, studio: str | None) -> None:
    """Push a queue to the tool, and have every item corrected there."""
    tool = SERVER if studio else "labelme"
    # Two queues of the same images are one project unless they have names of their own.
    title = f"{queue.folder.name} {queue.hash}" if studio else None
    options = PushOptions(queue=str(queue.folder), to=tool, url=studio, project=title)
    place = push(queue, options, print).place
    if studio is None:
        drawn = queue.folder / "drawn"
        write_annotations(queue, tool, drawn, ExportSettings(images="none"), mask_of)
        shutil.copytree(drawn, place, dirs_exist_ok=True)
        return
    _, regions = studio_regions(queue, mask_of=mask_of)
    with Studio(studio) as server:
        tasks = server.tasks(pushes(queue)[SERVER]["project"])
        for item in queue.items:
            (task,) = tasks[item.id]
            server.annotate(task, regions[item.id], seconds=20)


def take(queue: Queue, manifest: Path, holdout: Path) -> None:
    """Take the corrected labels back as a new version of the manifest."""
    words = [f"queue={queue.folder}", f"manifest={manifest}", f"holdout={holdout}"]
    step("review", "take", *words, "holdout_splits=[test]")
