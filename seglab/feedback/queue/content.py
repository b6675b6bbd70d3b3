"""A queue as it lies on disk: a folder with queue.json, and of each item the image and the model's mask."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from seglab.core.disk.files import hash_json, write_json
from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.labels import LabelSpace

QUEUE_NAME = "queue.json"
_FORMAT, _VERSION = "seglab-review", 1
Part = Literal["control", "hard"]


@dataclass(frozen=True)
class Item:
    """An image to label.

    Attributes:
        id: Names its files and its sample; of a log `<request_id>-<image>`.
        request_id: Of the request it came with; None: it is a file of a folder.
        number: Its number within the request.
        name: The caller's name of it, or the path of the file.
        stream: Camera, sequence or group; empty: not known.
        time: When it was answered, ISO 8601.
        part: Whether it was drawn at random, or chosen.
        probability: With which it was to be drawn; None: it was chosen, by no chance.
        scores: What speaks for it, each 0 to 1: the share of the images that score lower.
        reason: Why it is in the queue, in words.
        image: Path of the image below the folder.
        mask: Path of the mask that the model draws.
    """

    id: str
    request_id: str | None
    number: int
    name: str | None
    stream: str
    time: str | None
    part: Part
    probability: float | None
    scores: dict[str, float]
    reason: str
    image: str
    mask: str


@dataclass(frozen=True)
class Queue:
    """What is labelled next, and how it was chosen.

    Attributes:
        folder: Where it lies.
        bundle: `id`, `name`, class names, palette and ignored index of the model.
        options: With which it was made.
        population: Images it was chosen from.
        drawn: Images drawn at random; those refused among them are no items.
        left_out: Why images were no candidates, with counts.
        refused: Images that nearly are in the holdout: `id`, `part`, `near` and `similarity`.
        items: In the order in which they are to be labelled.
    """

    folder: Path
    bundle: dict[str, Any]
    options: dict[str, Any]
    population: int
    drawn: int
    left_out: dict[str, int]
    refused: list[dict[str, Any]]
    items: tuple[Item, ...] = field(repr=False)

    @cached_property
    def labels(self) -> LabelSpace:
        """The classes of the model's masks."""
        held = self.bundle
        palette = tuple((red, green, blue) for red, green, blue in held["palette"])
        return LabelSpace(tuple(held["class_names"]), palette, ignore_index=held["ignore_index"])

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that stand for the items."""
        return hash_json([self.bundle["id"], [asdict(one) for one in self.items]])

    def of_part(self, part: Part) -> list[Item]:
        """Return the items of a part."""
        return [one for one in self.items if one.part == part]

    def write(self) -> None:
        """Write queue.json, which makes the folder a queue."""
        content = {"format": _FORMAT, "version": _VERSION, **asdict(self)}
        write_json(self.folder / QUEUE_NAME, {k: v for k, v in content.items() if k != "folder"})


def read_queue(folder: Path) -> Queue:
    """Read a queue.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged, or of another version.
    """
    path = folder.expanduser() / QUEUE_NAME
    if not path.is_file():
        raise DataNotFoundError(f"no {QUEUE_NAME} in {folder}; make one with `seglab review queue`")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if (content.pop("format"), content.pop("version")) != (_FORMAT, _VERSION):
            raise DataError(f"{path}: expected a {_FORMAT} of version {_VERSION}; update seglab")
        items = tuple(Item(**one) for one in content.pop("items"))
        return Queue(folder=path.parent, items=items, **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected a queue of images to label: {error}") from error
