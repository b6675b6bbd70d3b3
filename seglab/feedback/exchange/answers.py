"""What annotators made of a queue: masks, who drew them, in what time, and why others have none."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seglab.annotations.format import annotation_format
from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.core.parts.components import components
from seglab.data.annotated.importer import import_annotated
from seglab.data.annotated.options import VOID
from seglab.data.files.masks import read_mask
from seglab.feedback.exchange.drawn import STUDIO
from seglab.feedback.exchange.pushing import pushes
from seglab.feedback.exchange.studio import Studio
from seglab.feedback.exchange.tasks import Told, put_tasks, tasks_in
from seglab.feedback.options import SERVER, TakeOptions
from seglab.feedback.queue.content import Item, Queue

Status = Literal["labelled", "empty", "missing", "untouched", "skipped", "broken"]
_TAKEN = "taken-from"  # below the queue: annotations that came without their images


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back of an item.

    Attributes:
        item: The item.
        status: `labelled`; `empty`: annotated, and no pixel of it says anything; `missing`: nobody has
            annotated it; `untouched`: its file is as it was pushed; `skipped`: annotators passed it over;
            `broken`: its annotation cannot be read.
        mask: Class indices uint8 `(H, W)`, where it is labelled.
        why: What is wrong with it, where it is broken.
        annotations: How many there are.
        seconds: How long annotators were at it; None: the tool does not tell.
        annotator: Who made the one that counts; None: the tool does not tell.
    """

    item: Item
    status: Status
    mask: np.ndarray | None = None
    why: str = ""
    annotations: int = 0
    seconds: float | None = None
    annotator: str | None = None


def read_answers(queue: Queue, options: TakeOptions) -> list[Answer]:
    """Return what came back of every item of a queue, in its order.

    Raises:
        ConfigError: It is not known where, or in what format, the annotations are.
        DataError: They cannot be read.
        StudioError: The server refuses, or stays away.
    """
    tool = tool_of(queue, options)
    entry = pushes(queue).get(tool, {})
    name = STUDIO if tool == SERVER else tool
    place, told = _place(queue, options, name, entry)
    unlabelled = options.unlabelled or entry.get("unlabelled") or VOID
    masks, broken = _drawn(queue, name, place, unlabelled, options)
    pushed = set(entry.get("files", {}).values())
    is_untouched = _untouched(queue, place, pushed) if options.untouched == "skip" else set()
    found = []
    for item in queue.items:
        known = told.get(item.id, Told())
        status: Status = "skipped" if known.is_skipped else "missing"
        mask = masks.get(item.id)
        if item.id in broken:
            status = "broken"
        elif item.id in is_untouched:
            status, mask = "untouched", None
        elif mask is not None:
            is_empty = bool((mask == queue.labels.ignore_index).all())
            status, mask = ("empty", None) if is_empty else ("labelled", mask)
        number = known.annotations or int(mask is not None)
        why = broken.get(item.id, "")
        found.append(Answer(item, status, mask, why, number, known.seconds, known.annotator))
    return found


def tool_of(queue: Queue, options: TakeOptions) -> str:
    """Return the format or server that annotations come from.

    Raises:
        ConfigError: It is not known.
    """
    known = pushes(queue)
    if options.format is not None and (options.annotations is not None or options.format in known):
        return options.format
    if options.format is None and len(known) == 1:
        return next(iter(known))
    names = ", ".join(known) or "no tool yet"
    raise ConfigError(
        f"format: the queue was pushed to {names}; say which one counts with format=, and with "
        "annotations= where the annotations are elsewhere"
    )


def _place(
    queue: Queue, options: TakeOptions, name: str, entry: Mapping[str, Any]
) -> tuple[Path, dict[str, Told]]:
    """Return the folder to read annotations and images from, and what the tool tells besides."""
    counts_first = options.several == "first"
    work = queue.folder / f"{_TAKEN}-{name}"
    if options.annotations is None and "url" in entry:
        with Studio(entry["url"], None, options.retries) as studio:
            tasks = studio.export(entry["project"])
        return work, put_tasks(queue, tasks, work, counts_first)
    if options.annotations is None and "folder" not in entry:
        raise ConfigError(f"annotations: missing; the queue was not pushed to {name}")
    place = Path(options.annotations or entry["folder"]).expanduser()
    if not place.exists():
        raise DataNotFoundError(f"annotations: there is no file or folder {place}")
    if place.is_file() and name == STUDIO:
        return work, put_tasks(queue, tasks_in(place), work, counts_first)
    images = {Path(one.image).name for one in queue.items}
    if place.is_dir() and any(path.name in images for path in place.rglob("*")):
        return place, {}
    # As tools export them: without the images, which the queue has.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if place.is_dir():
        shutil.copytree(place, work, dirs_exist_ok=True)
    else:
        shutil.copyfile(place, work / place.name)
    for item in queue.items:
        suffix = Path(item.image).suffix
        image = work / annotation_format(name).image_path(item.id, suffix, "unlabeled")
        image.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(queue.folder / item.image, image)
    return work, {}


def _drawn(
    queue: Queue, name: str, root: Path, unlabelled: str, options: TakeOptions
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the masks that annotations draw, and why others cannot be read, by item."""
    labels = queue.labels
    given: dict[str, Any] = {
        "unlabelled": unlabelled,
        "class_names": list(labels.class_names),
        "palette": [list(colour) for colour in labels.palette],
        "val_fraction": 0.0,
    }
    given |= {"several": options.several} if name == STUDIO else {}
    chosen: Any = components("importer")[name].read(given)
    own: Any = components("annotation_format")[name]
    declared = own.read({key: getattr(chosen, key) for key in own.model_fields})
    made = import_annotated(name, annotation_format(name, declared), root, chosen)
    ids = {one.id for one in queue.items}
    masks: dict[str, np.ndarray] = {}
    for sample in made.samples:
        key = sample.image.stem
        if sample.mask is not None and key in ids:
            if key in masks:
                raise DataError(f"{root}: {key} is annotated in several places; keep one of them")
            masks[key] = read_mask(root / sample.mask, made.labels)
    return masks, {
        Path(file).stem: why for file, why in made.faults.items() if Path(file).stem in ids
    }


def _untouched(queue: Queue, root: Path, pushed: set[str]) -> set[str]:
    """Return the items whose annotation files all hold the bytes that were pushed.

    An item's files begin with its name; where it has none, as with formats of one file, all count.
    """
    if not pushed:
        return set()
    images = {Path(one.image).name for one in queue.items}
    files = [
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.name not in images
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    same = {path: sha256_bytes(path.read_bytes()) in pushed for path in files}
    by_stem: dict[str, list[bool]] = {}
    for path, is_same in same.items():
        for end in re.finditer(r"[._]|$", path.name):
            by_stem.setdefault(path.name[: end.start()], []).append(is_same)
    return {one.id for one in queue.items if all(by_stem.get(one.id, same.values()))}
