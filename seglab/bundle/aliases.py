"""Where a bundle is that is named by its place in a registry, such as `models@champion`.

All that a reader needs of a registry (`seglab.deploy.registry` writes it): the folder `bundles`, a bundle
each under its id, and `aliases.json`, which is replaced in one step. Whoever serves takes no lock.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from seglab.core.disk.urls import local_path
from seglab.core.errors import ConfigError, DataError, nearest

ALIASES = ("champion", "challenger", "previous")
STATE, BUNDLES = "aliases.json", "bundles"
FORMAT, VERSION = "seglab-registry", 1
_ID = re.compile(r"[0-9a-f]{16}")


def split_reference(text: str) -> tuple[Path, str] | None:
    """Return the registry and the alias or id behind `REGISTRY@NAME`; None for the path of a bundle."""
    folder, _, name = text.rpartition("@")
    if not folder or local_path(text).exists():
        return None
    return local_path(folder), name


def locate_bundle(text: str) -> Path:
    """Return the place of a bundle: a path as it is, or what `REGISTRY@NAME` stands for now.

    Args:
        text: A folder or zip, or a registry with an alias (champion, challenger, previous) or an id
            behind `@`. A path that is there is taken as a path, whatever its name.

    Raises:
        ConfigError: There is no such place, registry, alias or id.
        DataError: The registry is damaged.
    """
    reference = split_reference(text)
    if reference is not None:
        return bundle_place(*reference)
    if not local_path(text).exists():
        raise ConfigError(
            f"bundle: expected a bundle's folder or zip, or REGISTRY@champion; {text} is not there"
        )
    return local_path(text)


def bundle_place(registry: Path, name: str) -> Path:
    """Return the folder of the bundle with this alias or id; raises as `locate_bundle`."""
    state = read_state(registry)
    found = state[name] if name in ALIASES else name
    if found is None:
        raise ConfigError(f"bundle: {registry} has no {name}; see seglab registry list")
    place = registry / BUNDLES / str(found)
    if _ID.fullmatch(str(found)) is None or not place.is_dir():
        known = bundle_ids(registry)
        raise ConfigError(
            f"bundle: no '{name}' in {registry}{nearest(name, (*ALIASES, *known))}; expected one of "
            f"{', '.join(ALIASES)}, or the id of one of its {len(known)} bundles"
        )
    return place


def read_state(registry: Path) -> dict[str, Any]:
    """Return the content of a registry's `aliases.json`: an id or None for each of `ALIASES`, and more.

    Raises:
        ConfigError: There is no registry.
        DataError: It is damaged, or of a later version.
    """
    path = registry / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["format"] != FORMAT or not all(name in state for name in ALIASES):
            raise ValueError
        version = int(state["version"])
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"registry: {registry} is none: it holds no {STATE}; the first seglab registry add "
            f"registry={registry} bundle=BUNDLE makes it"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: expected the aliases of a registry") from error
    if version > VERSION:
        raise DataError(f"{path}: expected version {VERSION}, got {version}; update seglab")
    return dict(state)


def bundle_ids(registry: Path) -> list[str]:
    """Return the ids of the bundles that lie in a registry, sorted."""
    folder = registry / BUNDLES
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if _ID.fullmatch(name))
