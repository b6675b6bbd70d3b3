"""Whose code may be imported: what a `_target_` names, if its package was named on this machine.

A `_target_` is an import, hence code that runs, and a configuration may come from elsewhere. So outside
the libraries' classes of the right kind only what was named on this machine is imported: in the
environment variable `SEGLAB_PLUGINS` (which child processes inherit, and to which composing a
configuration adds what was typed or chosen), in `plugins.yaml` in a `conf` folder beside you, or by an
installed package with an entry point of the group `seglab.plugins`.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from seglab.core.errors import ConfigError
from seglab.core.parts.kinds import KINDS, Kind
from seglab.core.problems import did_you_mean, nearest_keys, show

TARGET = "_target_"
ENV_PLUGINS = "SEGLAB_PLUGINS"
ENTRY_POINTS = "seglab.plugins"
NAMES_FILE = "plugins.yaml"
# A folder from elsewhere must not bring its own permission.
_RECORDS = ("run.json", "study.json")
# Their code is ours or trusted, but not all of it is a part: naming them opens nothing more.
_LIBRARIES = ("seglab", "torch", "torchmetrics", "pytorch_lightning", "optuna")


def named_packages() -> tuple[str, ...]:
    """Return the packages, modules and targets whose code may be imported on this machine."""
    typed = [one for one in os.environ.get(ENV_PLUGINS, "").split(",") if one.strip()]
    installed = [one.value.partition(":")[0].partition(".")[0] for one in _entry_points()]
    return (*(one.strip() for one in typed), *_names_in_own_conf(), *installed)


def name_packages(names: Iterable[str]) -> None:
    """Let code be imported from now on, in this process and those it starts.

    Args:
        names: Packages, modules or whole targets; what no naming opens is left out.
    """
    former = os.environ.get(ENV_PLUGINS, "").split(",")
    more = [one for one in names if not is_closed(one.partition(".")[0])]
    os.environ[ENV_PLUGINS] = ",".join(one for one in dict.fromkeys((*former, *more)) if one)


def own_conf() -> Path | None:
    """Return the `conf` folder beside the user; None where there is none.

    One in the folder of a run or study does not count: it came with the record.
    """
    here = Path.cwd()
    folder = here / "conf"
    if any((here / name).exists() for name in _RECORDS) or not folder.is_dir():
        return None
    return folder


def conf_folders() -> list[Path]:
    """Return the folders with configuration of one's own: beside the user, and in installed plug-ins.

    That of a plug-in is `conf` beside the module its entry point names; nothing is imported for it.
    """
    beside = own_conf()
    found = [beside] if beside else []
    for one in _entry_points():
        spec = importlib.util.find_spec(one.value.partition(":")[0].partition(".")[0])
        places = [
            Path(place) / "conf" for place in (spec and spec.submodule_search_locations) or ()
        ]
        found += [place for place in places if place.is_dir()]
    return found


@cache
def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=ENTRY_POINTS))


def _names_in_own_conf() -> list[str]:
    folder = own_conf()
    file = folder / NAMES_FILE if folder else None
    if file is None or not file.is_file():
        return []
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    names = content.get("plugins") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ConfigError(f"{file}: expected plugins: [package, ...], got {show(content)}")
    return names


def load_target(target: Any, group: str) -> Any:
    """Import and return what a target names, if it may be imported.

    Modules in the current folder are found too, after the installed ones.

    Args:
        target: Such as `mylab.TinyNet` or `torch.optim.RAdam`.
        group: A key of `KINDS`.

    Raises:
        ConfigError: It is no dotted path, may not be imported, is not there, or is of another kind.
    """
    module_name, _, name = str(target).rpartition(".")
    if not isinstance(target, str) or not module_name or not name:
        raise ConfigError(f"expected package.module.name, got {show(target)}")
    kind = KINDS[group]
    package = target.partition(".")[0]
    if _is_below(module_name, kind.homes):
        found = imported(target)
        _require_kind(found, target, kind)
        return found
    if is_closed(package):
        homes = " and ".join(f"{home}.*" for home in kind.homes) or "no library"
        raise ConfigError(
            f"{show(target)} is refused: a {kind.title} is a class of {homes}, or from a package of "
            "your own"
        )
    require_named([target])
    _find_in_current_folder()
    found = imported(target)
    if not callable(found):
        raise ConfigError(f"expected a class or function, got {show(target)}")
    return found


def require_named(targets: Iterable[str]) -> None:
    """Refuse targets whose package nobody named on this machine, with one line for each package.

    Raises:
        ConfigError: There are some; nothing was imported.
    """
    named = named_packages()
    refused = {one.partition(".")[0]: one for one in targets if not _is_below(one, named)}
    problems = [
        f"{show(target)} is refused: '{package}' is not named on this machine, and code from "
        f"elsewhere is not imported by itself. If you trust it, type plugins=[{package}] or set "
        f"the environment variable {ENV_PLUGINS}={package}"
        for package, target in refused.items()
    ]
    if problems:
        raise ConfigError(problems)


def _require_kind(found: Any, target: str, kind: Kind) -> None:
    """Refuse what a library has beside the parts: it loads files, starts processes, asks the network."""
    library = kind.homes[0].partition(".")[0]
    if not kind.base:
        if not _is_below(str(getattr(found, "__module__", "")), kind.homes):
            raise ConfigError(f"expected a {kind.title} of {library}, got {show(target)}")
        return
    base = imported(kind.base)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(f"expected a subclass of {library}'s {base.__name__}, got {show(target)}")


def is_closed(package: str) -> bool:
    """Whether naming a package opens nothing: the standard library, and what has classes of our kinds."""
    return package in sys.stdlib_module_names or package in _LIBRARIES


def _is_below(target: str, names: Iterable[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in names)


def imported(target: str) -> Any:
    """Import what a target names, without asking whether it may be.

    Raises:
        ConfigError: There is no such thing, or its module cannot be imported.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of the user's raises
        raise ConfigError(
            f"{show(target)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name) and module.__file__ is None:
        raise ConfigError(
            f"{show(target)} cannot be imported: {module_name} is only a folder, "
            f"{next(iter(module.__path__))}; start in the folder that holds the package, or install it"
        )
    if not hasattr(module, name):
        public = [one for one in vars(module) if not one.startswith("_")]
        raise ConfigError(
            f"{module_name} has no '{name}'{did_you_mean(nearest_keys(name, public))}"
        )
    return getattr(module, name)


def _find_in_current_folder() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
