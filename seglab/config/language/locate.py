"""Where the YAML files and the template of a project are: beside the package, or inside it in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

from seglab.core.errors import ConfigError
from seglab.core.parts.plugins import conf_folders

ENV_CONF = "SEGLAB_CONF"
_PACKAGE = Path(__file__).resolve().parents[2]


def own_folders() -> list[Path]:
    """Return the folders with configuration of one's own, ours left out where it lies beside the user."""
    ours = conf_dir()
    return [folder for folder in conf_folders() if folder.resolve() != ours]


def conf_dir() -> Path:
    """Return the absolute folder that holds `train.yaml` and the config groups.

    `SEGLAB_CONF` names another one. A checkout's `conf/` comes before the copy in a wheel.

    Raises:
        ConfigError: No folder holds a `train.yaml`; every place looked at is named.
    """
    named = os.environ.get(ENV_CONF)
    places = [Path(named).resolve()] if named else [_PACKAGE.parent / "conf", _PACKAGE / "conf"]
    for place in places:
        if (place / "train.yaml").is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise ConfigError(
        f"no configuration folder: expected a train.yaml in {looked}; reinstall seglab, "
        f"or set {ENV_CONF} to the folder"
    )


def template_dir() -> Path:
    """Return the absolute folder with the project that `seglab new` copies.

    Raises:
        ConfigError: It is not there.
    """
    for place in (_PACKAGE.parent / "template", _PACKAGE / "template"):
        if (place / "conf" / "plugins.yaml").is_file():
            return place
    raise ConfigError("no template of a project came with seglab; reinstall it")
