"""Composing a configuration outside a Hydra job: in tests, notebooks and before a job starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from seglab.config.grammar import literal_word
from seglab.config.locate import conf_dir
from seglab.config.resolvers import register_resolvers
from seglab.config.validate import App, without_hydra
from seglab.core.errors import ConfigError

HYDRA_VERSION_BASE = "1.3"


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

    def compose(self, overrides: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str | None]]:
        """Return the configuration with its `hydra` node left out, and the choice of each group."""
        cfg = hydra.compose(self.config_name, [*self.extra, *overrides], return_hydra_config=True)
        choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
        return without_hydra(cfg), choices  # type: ignore[return-value]

    def options(self, group: str) -> list[str]:
        """Return the choices of a group; empty when there is no such group."""
        if group not in self._options:
            found = self.loader().get_group_options(
                group, ObjectType.CONFIG, self.config_name, self.extra
            )
            self._options[group] = list(found)
        return self._options[group]

    def is_group(self, name: str) -> bool:
        """Whether `name` (such as `model` or `hydra/launcher`) has choices."""
        return "." not in name and bool(self.options(name))

    def loader(self) -> ConfigLoader:
        """Return Hydra's loader, which the parser of overrides needs for `glob(...)`."""
        return GlobalHydra.instance().config_loader()


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


def compose(overrides: Sequence[str] = (), app: App = "train") -> DictConfig:
    """Return a checked configuration, as `seglab train` would use it.

    Args:
        overrides: What would stand on the command line, such as `model=segnet` or `seed=1`.
        app: Which command it is for.

    Raises:
        ConfigError: With all mistakes found.
    """
    from seglab.config.overrides import check_overrides

    checked = check_overrides(app, overrides)
    if checked.problems:
        raise ConfigError(checked.problems)
    with open_composer(app) as composer:
        return composer.compose(checked.overrides)[0]
