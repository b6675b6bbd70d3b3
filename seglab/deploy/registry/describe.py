"""What `seglab registry list` and `show` say."""

from __future__ import annotations

import json
from typing import Any

from seglab.bundle.aliases import ALIASES, BUNDLES, bundle_ids
from seglab.deploy.registry.log import Entry
from seglab.deploy.registry.registry import Registry

_SCORES = ("test/miou", "val/miou")


def list_lines(registry: Registry) -> list[str]:
    """Return a line a bundle, in the order they came, then those that no entry tells of."""
    aliases, order = registry.aliases, [one.bundle for one in registry.entries()]
    there = bundle_ids(registry.folder)
    names = [name for name in dict.fromkeys([*order, *there]) if name in there]
    lines = []
    for name in names:
        info = _info(registry, name)
        named = ",".join(alias for alias in ALIASES if aliases[alias] == name)
        scores = info.get("scores", {})
        score = next((f"{key} {scores[key]:.4f}" for key in _SCORES if key in scores), "")
        facts = (info.get("created", ""), info.get("name", ""), info.get("run_id", ""), score)
        lines.append(f"{name}  {named:<10}  {'  '.join(map(str, facts))}".rstrip())
    return lines or [f"{registry.folder}: no bundles yet"]


def show_lines(registry: Registry, name: str) -> list[str]:
    """Return what there is to know of a bundle."""
    info, aliases = _info(registry, name), registry.aliases
    data = info.get("data", {})
    facts = {
        "id": name,
        "alias": ", ".join(alias for alias in ALIASES if aliases[alias] == name) or "none",
        "place": registry.place(name),
        "name": info.get("name"),
        "run": info.get("run_id"),
        "created": info.get("created"),
        "data": f"{data.get('name')} {data.get('fingerprint')}",
        **{key: value for key, value in info.get("scores", {}).items() if key in _SCORES},
    }
    lines = [f"{key:<10} {value}" for key, value in facts.items()]
    return lines + [entry_line(one) for one in registry.entries() if one.bundle == name]


def entry_line(entry: Entry) -> str:
    """Return an entry in words."""
    why = f": {entry.why}" if entry.why else ""
    return f"{entry.time[:19]}Z  {entry.what} by {entry.who}{why}"


def _info(registry: Registry, name: str) -> dict[str, Any]:
    path = registry.folder / BUNDLES / name / "bundle.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {"name": "damaged"}
