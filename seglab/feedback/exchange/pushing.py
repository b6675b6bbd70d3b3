"""A queue to an annotation tool: its images, and the model's masks as what is to be corrected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.core.disk.files import sha256_bytes, write_json
from seglab.core.errors import DataError
from seglab.data.annotated.export import ExportSettings
from seglab.feedback.exchange.drawn import MOST_REGIONS, studio_regions, write_annotations
from seglab.feedback.exchange.studio import SAMPLE, Studio
from seglab.feedback.options import SERVER, PushOptions
from seglab.feedback.queue.content import Item, Queue

PUSHED_NAME = "pushed.json"
_AT_ONCE = 20


@dataclass(frozen=True)
class Pushed:
    """Where a queue is.

    Attributes:
        place: Folder, or address of the project.
        added: Images that were not there before.
        there: Images that were.
    """

    place: str
    added: int
    there: int


def push(queue: Queue, options: PushOptions, tell: Callable[[str], None]) -> Pushed:
    """Give a queue to an annotation tool; what is there already stays as it is.

    Raises:
        ConfigError: The class of unlabelled pixels is none, or there is no token.
        DataError: The folder holds something else, or images cannot be written.
        StudioError: The server refuses, or stays away.
    """
    if options.to == SERVER:
        return _to_server(queue, options, tell)
    return _to_files(queue, options, tell)


def pushes(queue: Queue) -> dict[str, dict[str, Any]]:
    """Return where a queue was pushed to, by the tool."""
    path = queue.folder / PUSHED_NAME
    if not path.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _note(queue: Queue, tool: str, entry: dict[str, Any]) -> None:
    write_json(queue.folder / PUSHED_NAME, {**pushes(queue), tool: entry})


def _to_files(queue: Queue, options: PushOptions, tell: Callable[[str], None]) -> Pushed:
    out = Path(options.output or queue.folder / options.to).expanduser().absolute()
    before = pushes(queue).get(options.to)
    if before and before["folder"] == str(out) and out.is_dir():
        return Pushed(str(out), 0, len(queue.items))
    fresh = out.with_name(f".{out.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"output: {out} is not empty; give a new folder")
    settings = ExportSettings(options.tolerance, options.unlabelled)
    _tell_specks(write_annotations(queue, options.to, fresh, settings), tell)
    if out.is_dir():
        out.rmdir()
    fresh.replace(out)
    # A file that still holds these bytes was not saved by anybody.
    own = [
        one for one in sorted(out.rglob("*")) if one.is_file() and one.name not in _images(queue)
    ]
    hashes = {one.relative_to(out).as_posix(): sha256_bytes(one.read_bytes()) for one in own}
    entry = {"folder": str(out), "unlabelled": options.unlabelled, "files": hashes}
    _note(queue, options.to, entry)
    return Pushed(str(out), len(queue.items), 0)


def _images(queue: Queue) -> set[str]:
    return {Path(one.image).name for one in queue.items}


def _to_server(queue: Queue, options: PushOptions, tell: Callable[[str], None]) -> Pushed:
    """Add what is not there in the queue's order, some at a time."""
    title = options.project or f"review {queue.hash}"
    settings = ExportSettings(options.tolerance, options.unlabelled)
    config, proposed = studio_regions(queue, settings)
    with Studio(str(options.url), None, options.retries) as studio:
        project = studio.project(title, config)
        _tell_specks(len(queue.items) - len(proposed), tell)
        there = studio.tasks(project)
        new = [one for one in queue.items if one.id not in there]
        added = 0
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            ready = []
            for item in part:
                image = studio.upload(project, queue.folder / item.image)
                ready.append(_task(queue, item, image, proposed.get(item.id)))
            added += studio.add_tasks(project, ready)
            tell(f"{start + len(part)} of {len(new)} images pushed")
    url = str(options.url).rstrip("/")
    _note(queue, SERVER, {"url": url, "project": project, "unlabelled": options.unlabelled})
    return Pushed(f"{url}/projects/{project}", added, len(queue.items) - len(new))


def _tell_specks(count: int, tell: Callable[[str], None]) -> None:
    if count:
        tell(
            f"{count} masks are of more than {MOST_REGIONS} regions; these images come without them"
        )


def _task(
    queue: Queue, item: Item, image: str, regions: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """Return a task; whether an item was drawn or chosen is not told to those who label."""
    data = {"image": image, SAMPLE: item.id, "request_id": item.request_id, "stream": item.stream}
    version = f"{queue.bundle['name']} {queue.bundle['id']}"
    drawn = [] if regions is None else [{"result": regions, "model_version": version}]
    return {"data": data, "predictions": drawn}
