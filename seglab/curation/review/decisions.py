"""What a reviewer decided, as a review sheet saves it and `seglab data clean` takes it.

A part of the decisions that `seglab.curation.cleaning.decisions` reads, and read apart from it: the names
in it may be those of a sheet that hides its samples, which no manifest knows.

`{"decisions": [{"sample": "s1", "do": "relabel", "note": "the tree is missing"}]}`
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError, DataNotFoundError, list_problems, nearest
from seglab.curation.cleaning.decisions import DEEDS, Decision

# The later ones outdo the earlier ones where reviewers differ.
_STRICTNESS = ("keep", "relabel", "drop")


def read_saved(path: Path) -> list[Decision]:
    """Read the decisions of one reviewer.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no such file, or a sample is decided twice; all that is wrong is listed.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataNotFoundError(f"no decisions at {path}; save them in the review sheet") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no file of decisions: {error}") from error
    entries = content.get("decisions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{path} is no file of decisions: expected the key decisions with a list")
    found: dict[str, Decision] = {}
    problems = []
    for number, entry in enumerate(entries, start=1):
        decision = _parse(entry)
        if isinstance(decision, str):
            problems.append(f"decision {number}: {decision}")
        elif decision.sample_id in found:
            problems.append(f"decision {number}: {decision.sample_id} is decided twice")
        else:
            found[decision.sample_id] = decision
    if problems:
        raise DataError(list_problems(f"{path} is no file of decisions", problems))
    return list(found.values())


def _parse(entry: object) -> Decision | str:
    """Return a decision, or what is wrong with it."""
    if not isinstance(entry, dict):
        return f"expected {{sample, do, note}}, got {entry!r}"
    name, deed, note = (entry.get(key) for key in ("sample", "do", "note"))
    if not isinstance(name, str) or not name:
        return f"expected the name of a sample, got {name!r}"
    if deed not in DEEDS:
        meant = nearest(deed, DEEDS) if isinstance(deed, str) else ""
        return f"do must be one of {', '.join(DEEDS)}, got {deed!r}{meant}"
    if not isinstance(note, str | None):
        return f"expected text as note, got {note!r}"
    return Decision(name, deed, note=note or "")


def save_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write decisions in one step."""
    entries = [{"sample": one.sample_id, "do": one.do, "note": one.note} for one in decisions]
    write_json(path, {"decisions": entries})


def merge(files: Iterable[Iterable[Decision]]) -> dict[str, Decision]:
    """Return the decision of all reviewers by sample: the strictest of them, with all notes."""
    merged: dict[str, Decision] = {}
    for decisions in files:
        for one in decisions:
            before = merged.get(one.sample_id, one)
            strictest = max(before.do, one.do, key=_STRICTNESS.index)
            notes = dict.fromkeys(note for note in (before.note, one.note) if note)
            merged[one.sample_id] = Decision(one.sample_id, strictest, note="; ".join(notes))
    return merged
