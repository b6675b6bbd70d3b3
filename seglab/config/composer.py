"""Composing outside a Hydra job, again and again: before a job starts, in notebooks and tests.

What the files of a folder compose to is kept until one of them changes: a check composes the same
groups for each word it tries, and reading 30 files takes a quarter of a second of CPU.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from seglab.config.language.grammar import literal_word
from seglab.config.language.locate import conf_dir, own_folders
from seglab.config.rules.resolvers import register_resolvers
from seglab.config.validate import without_hydra

HYDRA_VERSION_BASE = "1.3"

Choices = dict[str, str | None]
_Files = tuple[tuple[str, int, int], ...]
# By what was asked: the files read, and what came of them as bytes, so that each caller gets a copy.
_composed: dict[tuple[str, ...], tuple[list[str], _Files, bytes]] = {}
_KEPT = 200


@dataclass
class Composer:
    """Composes again and again from one place; see `open_composer`.

    Args:
        config_name: Name of the primary configuration, such as `train`.
        folder: The configuration folder.
        extra: Overrides added to every composition, such as a search path.
    """

    config_name: str
    folder: Path
    extra: list[str] = field(default_factory=list)
    _options: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def compose(self, overrides: Sequence[str] = ()) -> tuple[DictConfig, Choices]:
        """Return the configuration with its `hydra` node left out, and the choice of each group."""
        cfg = self.compose_with_hydra(overrides)
        return without_hydra(cfg), choices_in(cfg)

    def compose_with_hydra(self, overrides: Sequence[str] = ()) -> DictConfig:
        """Return the configuration as a job of Hydra gets it, with its `hydra` node."""
        words = [*self.extra, *overrides]
        own = [str(folder) for folder in own_folders()]
        key = (str(self.folder), self.config_name, *words, *own)
        if key in _composed:
            folders, files, content = _composed[key]
            if files == _files_in(folders):
                return pickle.loads(content)  # type: ignore[no-any-return]  # noqa: S301 - our own
        started = time.time_ns()
        cfg = hydra.compose(self.config_name, words, return_hydra_config=True)
        _keep(key, cfg, cfg.hydra.runtime.config_sources, started)
        return cfg

    def options(self, group: str) -> list[str]:
        """Return the choices of a group; empty when there is no such group."""
        if group not in self._options:
            # Named, Hydra reads the primary configuration again each time, for its search path.
            name = self.config_name if self._has_search_path() else None
            found = self.loader().get_group_options(group, ObjectType.CONFIG, name, self.extra)
            self._options[group] = list(found)
        return self._options[group]

    def _has_search_path(self) -> bool:
        primary = self.folder / f"{self.config_name}.yaml"
        return primary.is_file() and "searchpath" in primary.read_text(encoding="utf-8")

    def is_group(self, name: str) -> bool:
        """Whether `name` (such as `model` or `hydra/launcher`) has choices."""
        return "." not in name and bool(self.options(name))

    def loader(self) -> ConfigLoader:
        """Return Hydra's loader, which the parser of overrides needs for `glob(...)`."""
        return GlobalHydra.instance().config_loader()


def choices_in(cfg: DictConfig) -> Choices:
    """Return the choice of each group that a configuration with its `hydra` node was made of."""
    return OmegaConf.to_container(cfg.hydra.runtime.choices)  # type: ignore[return-value]


@contextmanager
def open_composer(
    config_name: str, folder: Path | None = None, search: Sequence[Path] = ()
) -> Iterator[Composer]:
    """Yield a composer; Hydra's global state is as before afterwards, also inside a job.

    Args:
        config_name: Primary configuration.
        folder: Configuration folder; `conf_dir()` by default.
        search: Further folders to look for groups in.
    """
    register_resolvers()
    place = folder or conf_dir()
    extra = []
    if search:
        paths = [f"file://{path.absolute()}" for path in search]
        extra = [literal_word("hydra.searchpath", paths)]
    former = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(
            config_dir=str(place), version_base=HYDRA_VERSION_BASE, job_name=config_name
        ):
            yield Composer(config_name, place, extra)
    finally:
        GlobalHydra.instance().hydra = former


def _keep(key: tuple[str, ...], composed: DictConfig, sources: Sequence[Any], started: int) -> None:
    """Keep what was composed, unless it came from a package, whose files are not looked at."""
    if any(one.schema == "pkg" and one.provider != "hydra" for one in sources):
        return
    if len(_composed) >= _KEPT:
        _composed.clear()
    folders = [str(one.path) for one in sources if one.schema == "file"]
    files = _files_in(folders)
    # A file changed meanwhile may have been read before it was.
    if all(changed < started for _, changed, _ in files):
        _composed[key] = folders, files, pickle.dumps(composed)


def _files_in(folders: Sequence[str]) -> _Files:
    found = []
    for folder in folders:
        for path in Path(folder).rglob("*.yaml"):
            state = path.stat()
            found.append((str(path), state.st_mtime_ns, state.st_size))
    return tuple(sorted(found))
