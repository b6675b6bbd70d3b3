"""What a reviewer decided: one JSON object a line, as a review sheet saves it and cleaning takes it.

`{"sample_id": "s1", "decision": "relabel", "note": "the tree is missing"}`; other keys are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from seglab.core.disk.files import write_text
from seglab.core.errors import DataError, DataNotFoundError, list_problems, nearest

Choice = Literal["keep", "relabel", "drop"]
# The later ones outdo the earlier ones where reviewers differ.
CHOICES: tuple[Choice, ...] = get_args(Choice)


@dataclass(frozen=True)
class Decision:
    """What is to be done with a sample.

    Args:
        sample_id: The sample, or the item of a sheet that hides its samples.
        decision: `keep`: it is right. `relabel`: the mask is wrong. `drop`: the image should not be
            in the data.
        note: Why, in the reviewer's words.
    """

    sample_id: str
    decision: Choice
    note: str = ""


def read_decisions(path: Path) -> list[Decision]:
    """Read the decisions of one reviewer.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: Lines are no decisions, or a sample is decided twice; every such line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataNotFoundError(f"no decisions at {path}; save them in the review sheet") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no file of decisions: {error}") from error
    found: dict[str, Decision] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        decision = _parse(line)
        if isinstance(decision, str):
            problems.append(f"line {number}: {decision}")
        elif decision.sample_id in found:
            problems.append(f"line {number}: {decision.sample_id} is decided twice")
        else:
            found[decision.sample_id] = decision
    if problems:
        raise DataError(list_problems(f"{path} is no file of decisions", problems))
    return list(found.values())


def _parse(line: str) -> Decision | str:
    """Return the decision of a line, or what is wrong with it."""
    try:
        content: Any = json.loads(line)
    except json.JSONDecodeError as error:
        return f"no JSON ({error})"
    if not isinstance(content, dict):
        return f"expected an object with sample_id and decision, got {line[:40]}"
    name, choice, note = (content.get(key) for key in ("sample_id", "decision", "note"))
    if not isinstance(name, str) or not name:
        return f"expected a sample_id, got {name!r}"
    if choice not in CHOICES:
        meant = nearest(choice, CHOICES) if isinstance(choice, str) else ""
        return f"decision must be one of {', '.join(CHOICES)}, got {choice!r}{meant}"
    if not isinstance(note, str | None):
        return f"expected text as note, got {note!r}"
    return Decision(name, choice, note or "")


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write decisions in one step."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in decisions]
    write_text(path, "".join(f"{line}\n" for line in lines))


def merge(files: Iterable[Iterable[Decision]]) -> dict[str, Decision]:
    """Return the decision of all reviewers by sample: the strictest of them, with all notes."""
    merged: dict[str, Decision] = {}
    for decisions in files:
        for one in decisions:
            before = merged.get(one.sample_id, one)
            strictest = max(before.decision, one.decision, key=CHOICES.index)
            notes = dict.fromkeys(note for note in (before.note, one.note) if note)
            merged[one.sample_id] = Decision(one.sample_id, strictest, "; ".join(notes))
    return merged
