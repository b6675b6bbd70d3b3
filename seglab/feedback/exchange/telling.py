"""What is to be said of a queue, in lines."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from typing import Any

from seglab.core.sample_size import TOO_FEW_IMAGES
from seglab.core.text.wording import joined, plural
from seglab.feedback.exchange.pushing import pushes
from seglab.feedback.exchange.studio import TOKEN_VARIABLE, Studio, StudioError
from seglab.feedback.exchange.taking import TAKEN_NAME
from seglab.feedback.options import SERVER
from seglab.feedback.queue.content import Queue

_STATUSES = {
    "labelled": "labelled",
    "empty": "annotated as empty: no pixel of it says anything",
    "missing": "not annotated yet",
    "untouched": "as they were pushed (untouched=take counts them as right)",
    "skipped": "skipped by annotators",
    "broken": "broken",
}


# Of one file for all images: it says of none whether somebody opened it.
_SILENT = ("cvat", "coco")


def queue_lines(queue: Queue) -> list[str]:
    """Return what is in a queue, and what is not."""
    control, hard = queue.of_part("control"), queue.of_part("hard")
    lines = [
        f"{queue.folder}: {plural(len(queue.items), 'image')} to label: {len(hard)} chosen, "
        f"{len(control)} of {queue.drawn} drawn at random from {queue.population}"
    ]
    reasons = Counter(one.reason.partition(" ")[0] for one in hard)
    if reasons:
        lines.append("chosen for " + ", ".join(f"{name} {n}" for name, n in reasons.most_common()))
    if queue.refused:
        names = joined((f"{one['id']} (nearly {one['near']})" for one in queue.refused), 3)
        lines.append(f"refused, nearly in the holdout: {len(queue.refused)}: {names}")
    if queue.left_out:
        out = ", ".join(f"{count} {reason}" for reason, count in queue.left_out.items())
        lines.append(f"no candidates: {out}")
    return lines


def report_lines(queue: Queue) -> list[str]:
    """Return how far a queue is, and what its labels say."""
    lines = queue_lines(queue)
    for tool, entry in pushes(queue).items():
        place = entry.get("folder") or f"{entry['url']}/projects/{entry['project']}"
        lines.append(f"pushed to {tool}: {place}")
    path = queue.folder / TAKEN_NAME
    if not path.is_file():
        return [*lines, "nothing is taken back yet: seglab review take queue=... manifest=..."]
    return lines + taken_lines(json.loads(path.read_text(encoding="utf-8")))


def server_lines(queue: Queue) -> list[str]:
    """Return how far annotators are on the server; nothing where none is asked, for want of a token."""
    entry = pushes(queue).get(SERVER)
    if entry is None or not os.environ.get(TOKEN_VARIABLE):
        return []
    try:
        with Studio(entry["url"], retries=0) as studio:
            done, total = studio.progress(entry["project"])
    except StudioError as error:
        return [f"not known how far annotators are: {error}"]
    return [f"annotated on the server: {done} of {total}"]


def taken_lines(taken: dict[str, Any]) -> list[str]:
    """Return what came back, as `taken.json` holds it."""
    statuses = taken["statuses"]
    lines = [f"{statuses[key]} {said}" for key, said in _STATUSES.items() if statuses.get(key)]
    lines += [f"broken: {name}: {why}" for name, why in taken["broken"].items()]
    if taken["several_annotations"]:
        lines.append(
            f"annotated more than once: {len(taken['several_annotations'])}: "
            f"{joined(taken['several_annotations'], 3)}"
        )
    seconds = taken["seconds"]
    if seconds["items"]:
        lines.append(
            f"time: {seconds['total']:.0f} s for {plural(seconds['items'], 'image')}, median "
            f"{seconds['median']:.0f} s"
        )
    lines += [
        line for part in ("control", "hard") for line in _quality(part, taken["quality"][part])
    ]
    if taken["unchanged"]:
        line = f"no pixel was changed on {plural(len(taken['unchanged']), 'image')}"
        silent = taken["tool"] in _SILENT
        lines.append(line + f"; {taken['tool']} does not tell whether anybody saw them" * silent)
    lines += [f"refused: {name}: {why}" for name, why in taken["refused"].items()]
    lines.append(
        f"{len(taken['added'])} new in the manifest, {len(taken['relabelled'])} with another mask, "
        f"{len(taken['same'])} as they were"
    )
    return lines


def _quality(part: str, told: dict[str, Any]) -> list[str]:
    title = "random share" if part == "control" else "chosen"
    if not told["images"]:
        return [f"{title}: none of {told['of']} labelled"]
    miou, low, high = (told["miou"][key] for key in ("value", "low", "high"))
    line = f"{title}: mIoU {_number(miou)} on {told['images']} of {told['of']}"
    if part == "control":
        known = low is not None and not math.isnan(low)
        line += f", 95 % [{low:.3f}, {high:.3f}]" if known else f", {TOO_FEW_IMAGES}"
    else:
        line += " (of these images alone)"
    line += f"; annotators changed {_number(told['changed'], '.1%')} of the pixels"
    if part == "control" and told["images"] < told["of"]:
        line += "; those not labelled may be harder"
    by_class = [f"{name} {_number(one['value'])}" for name, one in told["iou"].items()]
    return [line, f"  IoU: {joined(by_class, len(by_class))}"]


def _number(value: float | None, form: str = ".3f") -> str:
    return "?" if value is None or math.isnan(value) else format(value, form)
