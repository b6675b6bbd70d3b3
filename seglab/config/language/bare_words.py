"""What a word without `=` may stand for: a folder, or the name of a choice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

# What a folder holds -> what it is to `seglab train`; the first that is there counts.
_FOLDERS = {"run.json": "resume", "manifest.parquet": "data.manifest"}


def meant_by(word: str, app: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Return the override that was meant, as it is typed; empty where nothing is near.

    Args:
        word: As typed.
        app: The command.
        groups: Group -> its choices.
    """
    chosen = [group for group, choices in groups.items() if word in choices]
    if chosen:
        return " or ".join(f"{group}={word}" for group in chosen)
    is_folder = os.path.isdir(os.path.expanduser(word))  # noqa: PTH111, PTH112 - never raises
    if not is_folder and "/" not in word:
        return ""
    return f"run={word}" if app == "evaluate" else _folder(word, is_folder)


def _folder(word: str, is_there: bool) -> str:
    path = os.path.expanduser(word)  # noqa: PTH111 - never raises
    for name, key in _FOLDERS.items():
        if os.path.isfile(os.path.join(path, name)):  # noqa: PTH113, PTH118 - never raises
            return f"{key}={word}"
    return f"data=folder data.root={word}" if is_there else f"data.manifest={word}"
