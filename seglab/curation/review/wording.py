"""What people write for annotators: a YAML file beside what the data shows.

```yaml
title: Street scenes, second round
general: Draw what you see, not what you know to be there.
classes:
  car:
    definition: Motor vehicles for up to nine people.
    include: [vans, parked cars]
    exclude: [lorries, toy cars]
    smallest_px: 60
  tree: Woody plants taller than a person.
hard_cases:
  overlap: The nearer object is drawn whole.
  partly_visible: Draw the part that is in the picture.
  too_small: Objects below the size given are left void.
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seglab.core.errors import DataError, DataNotFoundError, list_problems, nearest
from seglab.core.text.yaml_words import read_yaml_words, whole_number

HARD_CASES = ("overlap", "partly_visible", "too_small")
_KEYS = ("title", "general", "classes", "hard_cases")
_CLASS_KEYS = ("definition", "include", "exclude", "smallest_px")


@dataclass(frozen=True)
class ClassWording:
    """What is said of one class.

    Args:
        definition: What belongs to it.
        include: Doubtful things that do.
        exclude: Things that look like it and do not.
        smallest_px: Objects of fewer pixels are not drawn; None: not decided.
    """

    definition: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    smallest_px: int | None = None


@dataclass(frozen=True)
class Wording:
    """What is said to annotators.

    Args:
        title: Of the page; empty: made from the data set's name.
        general: What holds for all classes.
        classes: Class name -> what is said of it.
        hard_cases: `overlap`, `partly_visible`, `too_small` -> the rule.
    """

    title: str = ""
    general: str = ""
    classes: dict[str, ClassWording] = field(default_factory=dict)
    hard_cases: dict[str, str] = field(default_factory=dict)


def read_wording(path: Path, class_names: Sequence[str]) -> Wording:
    """Read what is said to annotators.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no such file, or speaks of classes there are not; all that is wrong is listed.
    """
    if not path.is_file():
        raise DataNotFoundError(f"--text: there is no file {path}")
    try:
        content: Any = read_yaml_words(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected the keys {', '.join(_KEYS)}")
    problems = _unknown(content, _KEYS, "")
    given = {"classes": content.get("classes") or {}, "hard_cases": content.get("hard_cases") or {}}
    for key, allowed in (("classes", class_names), ("hard_cases", HARD_CASES)):
        if not isinstance(given[key], dict):
            problems.append(f"{key}: expected names with text, got {given[key]!r}")
            given[key] = {}
        problems += _unknown(given[key], allowed, f"{key}: ")
    classes = {
        str(name): _class_wording(str(name), entry, problems)
        for name, entry in given["classes"].items()
    }
    if problems:
        raise DataError(list_problems(str(path), problems))
    return Wording(
        _text(content.get("title")),
        _text(content.get("general")),
        classes,
        {str(name): _text(text) for name, text in given["hard_cases"].items()},
    )


def _unknown(content: dict[Any, Any], allowed: Sequence[str], where: str) -> list[str]:
    return [
        f"{where}unknown name {str(key)!r}{nearest(str(key), allowed)}; there are {', '.join(allowed)}"
        for key in content
        if key not in allowed
    ]


def _class_wording(name: str, entry: Any, problems: list[str]) -> ClassWording:
    if not isinstance(entry, dict):
        return ClassWording(_text(entry))
    problems += _unknown(entry, _CLASS_KEYS, f"classes: {name}: ")
    smallest = whole_number(entry.get("smallest_px"))
    if entry.get("smallest_px") is not None and not smallest:
        given = entry["smallest_px"]
        problems.append(f"classes: {name}: smallest_px: expected pixels from 1, got {given}")
    lists = {key: entry.get(key) or [] for key in ("include", "exclude")}
    for key, value in lists.items():
        if not isinstance(value, list):
            problems.append(f"classes: {name}: {key}: expected a list, got {value}")
            lists[key] = []
    include, exclude = (tuple(map(_text, value)) for value in lists.values())
    return ClassWording(_text(entry.get("definition")), include, exclude, smallest)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
