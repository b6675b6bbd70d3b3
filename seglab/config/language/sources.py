"""Which file a key or a choice came from: read from the YAML files themselves, for messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seglab.core.architectures import ARCHITECTURES

_GLOBAL_HEADER = "# @package _global_"
# The data a run was trained on is only there once there is a run.
_ONLY_FOR = {("data", "run"): "evaluate"}


@dataclass(frozen=True)
class GroupDefault:
    """An entry `override /group: choice` (or `group: choice`) of a defaults list."""

    group: str
    choice: str


def choices_for(app: str, group: str, options: Sequence[str]) -> list[str]:
    """Return the choices of a group that a command may use."""
    return [name for name in options if _ONLY_FOR.get((group, name), app) == app]


def groups_of(app: str, folder: Path, *further: Path) -> dict[str, list[str]]:
    """Return the groups of a command with their choices, as folders of YAML files have them.

    Args:
        app: The command.
        folder: Of its primary configuration.
        further: Folders with choices of the user's own.
    """
    groups = {entry.group for entry in group_defaults(folder / f"{app}.yaml")}
    groups |= {"experiment", "debug"} if app == "train" else set()
    found = {
        group: {path.stem for one in (folder, *further) for path in (one / group).glob("*.yaml")}
        for group in sorted(groups)
        if not group.startswith("hydra")
    }
    return {group: choices_for(app, group, sorted(names)) for group, names in found.items()}


def also_called(
    folders: Sequence[Path], group: str, choices: Sequence[str]
) -> dict[str, list[str]]:
    """Return choice -> names of what its file builds: classes, architectures.

    A file that builds one thing comes before those that build several, for it is what a name means.
    """
    files = {one: find_file(folders, group, one) for one in choices}
    named = {one: list(_names_in(_read(path))) if path else [] for one, path in files.items()}
    return dict(sorted(named.items(), key=lambda item: len(item[1])))


def _names_in(content: Any) -> Iterator[str]:
    for key, value in content.items() if isinstance(content, dict) else ():
        if key == "_target_":
            yield str(value).rpartition(".")[2]
        elif key == "arch" and value in ARCHITECTURES:
            yield ARCHITECTURES[value].smp_class
        else:
            yield from _names_in(value)


def find_file(folders: Sequence[Path], group: str, choice: str) -> Path | None:
    """Return the file of a choice in the first folder that has it."""
    paths = (folder / group / f"{choice}.yaml" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def group_defaults(path: Path) -> list[GroupDefault]:
    """Return the group choices in a file's defaults list; a file that is no YAML has none."""
    entries = _read(path).get("defaults")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        for key, choice in entry.items() if isinstance(entry, dict) else ():
            group = str(key).removeprefix("override").removeprefix("optional").strip().lstrip("/")
            if isinstance(choice, str) and choice != "???" and "@" not in group:
                found.append(GroupDefault(group, choice))
    return found


def file_with_key(
    key: str, choices: Mapping[str, str | None], folders: Sequence[Path], primary: str
) -> Path | None:
    """Return the file that set a key; None when no file names it.

    Files that set keys anywhere (experiment, debug) overrule the others, so they are asked first.
    """
    parts = key.split("[")[0].split(".")
    found: list[Path] = []
    for group, choice in choices.items():
        path = find_file(folders, group, choice) if isinstance(choice, str) else None
        if path is None:
            continue
        is_global = path.read_text(encoding="utf-8").startswith(_GLOBAL_HEADER)
        inside = parts if is_global else _below(parts, group)
        if inside and _holds(_read(path), inside):
            found.insert(0 if is_global else len(found), path)
    top = find_file(folders, "", primary)
    if top is not None and _holds(_read(top), parts):
        found.append(top)
    return found[0] if found else None


def words_in_file(path: Path, key: str) -> Any:
    """Return what a file that sets a key says there, every word as the text that is written.

    Args:
        path: A file of `file_with_key`, so one of a group leaves out the group's own name.
        key: Dotted key.
    """
    text = path.read_text(encoding="utf-8")
    whole = yaml.load(text, yaml.BaseLoader)  # noqa: S506  makes text, lists and mappings alone
    parts = key.split(".")
    for start in range(len(parts)):
        content = whole
        for part in parts[start:]:
            content = content.get(part) if isinstance(content, dict) else None
        if content is not None:
            return content
    return None


def _below(parts: list[str], group: str) -> list[str]:
    head = group.split("/")
    return parts[len(head) :] if parts[: len(head)] == head else []


def _holds(content: Any, parts: list[str]) -> bool:
    for index, part in enumerate(parts):
        if isinstance(content, dict) and ".".join(parts[index:]) in content:
            return True  # a dotted key in one piece, as in the space of a study
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}  # Hydra reads the file too and says what is wrong with it
    return content if isinstance(content, dict) else {}
