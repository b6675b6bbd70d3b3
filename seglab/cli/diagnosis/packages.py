"""Installed packages: present, new enough, none of the known bad ones, fit for each other."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata

from seglab.cli.diagnosis.finding import Finding

_AREA = "packages"
_OLDEST_PYTHON = (3, 11)
# Distribution -> oldest version that works, as in pyproject.toml.
FLOORS = {
    "torch": "2.6",
    "torchvision": "0.21",
    "pytorch-lightning": "2.6",
    "torchmetrics": "1.7",
    "timm": "1.0.15",
    "segmentation-models-pytorch": "0.5",
    "kornia": "0.8",
    "hydra-core": "1.3.2",
    "omegaconf": "2.3",
    "optuna": "5",
    "wandb": "0.19",
    "numpy": "1.26",
}
# Uploads that ran foreign code on import (GHSA-w37p-236h-pfx3).
MALICIOUS = {"pytorch-lightning": ("2.6.2", "2.6.3"), "lightning": ("2.6.2", "2.6.3")}


def installed_versions() -> dict[str, str]:
    """Return the version of every installed distribution, names in lower case with dashes."""
    found = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name:
            found[re.sub(r"[-_.]+", "-", name).lower()] = one.version
    return found


def check_versions(installed: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what can be said from version numbers alone, without importing anything."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding(_AREA, "python", "bad", python, "install Python 3.11 or newer")
    else:
        yield Finding(_AREA, "python", "ok", python)
    for name, floor in FLOORS.items():
        yield _check_floor(name, floor, installed.get(name))
    for name, versions in MALICIOUS.items():
        if installed.get(name) in versions:
            yield Finding(
                _AREA,
                name,
                "bad",
                f"{installed[name]} is a malicious upload",
                f"uninstall {name}, change every secret this machine held, install 2.6.6 or newer",
            )
    yield from _check_plugins(installed)


def _check_floor(name: str, floor: str, version: str | None) -> Finding:
    if version is None:
        return Finding(_AREA, name, "bad", "not installed", f"pip install '{name}>={floor}'")
    if _numbers(version) < _numbers(floor):
        advice = f"pip install -U '{name}>={floor}'"
        return Finding(_AREA, name, "bad", f"{version} is older than {floor}", advice)
    return Finding(_AREA, name, "ok", version)


def _check_plugins(installed: Mapping[str, str]) -> Iterator[Finding]:
    sweeper = installed.get("hydra-optuna-sweeper")
    if sweeper is not None:
        yield Finding(
            _AREA,
            "hydra-optuna-sweeper",
            "bad",
            f"{sweeper} forces Optuna 2, seglab sweeps with Optuna 5",
            "pip uninstall hydra-optuna-sweeper; pip install -U 'optuna>=5'",
        )
    builds = sorted(name for name in installed if name.startswith("opencv-") and "python" in name)
    if len(builds) > 1:
        yield Finding(
            _AREA,
            "opencv",
            "note",
            f"{' and '.join(builds)} overwrite each other's files",
            "keep opencv-python-headless alone",
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release part of a version as numbers; local and pre-release parts do not count."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release.group().split(".")) if release else ()


def check_fit() -> Iterator[Finding]:
    """Yield whether the compiled packages go together; imports them."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        yield Finding(_AREA, "import torch", "bad", _first_line(error), "reinstall torch")
        return
    try:
        torch.from_numpy(importlib.import_module("numpy").zeros(1))
        yield Finding(_AREA, "torch with numpy", "ok", "arrays pass between them")
    except (ImportError, RuntimeError, TypeError) as error:
        advice = "reinstall torch and numpy together; they were built for different versions"
        yield Finding(_AREA, "torch with numpy", "bad", _first_line(error), advice)
    try:
        importlib.import_module("torchvision")
        yield Finding(_AREA, "torch with torchvision", "ok", "it imports")
    # A mismatch shows as a missing operator or symbol, whose exception differs by version.
    except Exception as error:  # noqa: BLE001
        advice = "reinstall torch and torchvision in one command, from one index"
        yield Finding(_AREA, "torch with torchvision", "bad", _first_line(error), advice)


def check_hydra_plugins() -> Iterator[Finding]:
    """Yield the sweepers and launchers Hydra sees."""
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    for kind in (Sweeper, Launcher):
        names = sorted(plugin.__name__ for plugin in Plugins.instance().discover(kind))
        yield Finding(_AREA, f"hydra {kind.__name__.lower()}s", "ok", ", ".join(names))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
