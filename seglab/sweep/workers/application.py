"""The Hydra application that a sweep runs again and again, and one job of it in another process."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log, run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from seglab.core.trial import TrialChannel, as_trial

STUDY = "study"
_SETS = (OverrideType.CHANGE, OverrideType.FORCE_ADD)


@dataclass
class HydraApplication:
    """What Hydra handed to the sweeper.

    Args:
        config: The composed configuration of the whole multirun, with its `hydra` node.
        context: Loader of configurations, and callbacks.
        task: The function each job calls.
    """

    config: DictConfig
    context: HydraContext
    task: TaskFunction
    _composed: dict[tuple[str, ...], bytes] = field(default_factory=dict, repr=False)

    def compose(self, shared: Sequence[str], own: Sequence[str], number: int) -> DictConfig:
        """Return the configuration of one job, with its `hydra` node.

        Args:
            shared: Overrides of all jobs, beside those of the whole multirun for Hydra itself.
            own: Overrides of this job; where they only set values, as most trials do, what all jobs
                share is not read from its files again.
            number: Of the job in its sweep.

        Raises:
            HydraException: The words do not compose.
        """
        config = self._with_values(shared, own)
        if config is None:
            config = self._load([*shared, *own])
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def _load(self, words: list[str]) -> DictConfig:
        return self.context.config_loader.load_sweep_config(self.config, words)

    def _with_values(self, shared: Sequence[str], own: Sequence[str]) -> DictConfig | None:
        """Return what `_load` would, made from the shared configuration; None where only that can."""
        key = tuple(shared)
        if key not in self._composed:
            try:
                self._composed[key] = pickle.dumps(self._load(list(shared)))
            except HydraException:
                return None  # such as a key that only a group of the job's own has
        config: DictConfig = pickle.loads(self._composed[key])  # noqa: S301 - our own
        parser = OverridesParser.create()
        overrides = parser.parse_overrides(list(own))
        # What decides which files are read.
        choices = {group.partition("@")[0] for group in config.hydra.runtime.choices}
        choices.add("hydra.searchpath")
        if not all(_sets_value(override, choices) for override in overrides):
            return None
        for override in overrides:
            try:
                OmegaConf.update(
                    config,
                    override.key_or_group,
                    override.value(),
                    merge=True,
                    force_add=override.is_force_add(),
                )
            except OmegaConfBaseException:
                return None  # Hydra says what is wrong with it
            kind = "hydra" if override.is_hydra_override() else "task"
            config.hydra.overrides[kind].append(override.input_line)
        typed: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        config.hydra.job.override_dirname = get_overrides_dirname(
            parser.parse_overrides(typed), **config.hydra.job.config.override_dirname
        )
        return config

    def job(self, config: DictConfig, is_trial: bool) -> Job:
        """Return the work of one job, to be called in another process."""
        return Job(config, self.context, self.task, Singleton.get_state(), is_trial)

    def configure_logging(self) -> None:
        """Format log lines of the controller as the `hydra` node says."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)

    @property
    def sweep_dir(self) -> Path:
        """Folder of the sweep's own files, and above those of its jobs."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()


@dataclass
class Job:
    """One run of the application; called in the process of a trial.

    Args:
        config: Of this job, with its `hydra` node.
        context: As in `HydraApplication`.
        task: As in `HydraApplication`.
        singletons: Hydra's global state, with the resolvers of interpolations.
        is_trial: Whether the task runs as a trial of a study.
    """

    config: DictConfig
    context: HydraContext
    task: TaskFunction
    singletons: Any
    is_trial: bool

    @property
    def run_dir(self) -> Path:
        """Folder of the job's files."""
        place = self.config.hydra.sweep
        return Path(str(place.dir)) / str(place.subdir)

    def __call__(self, channel: TrialChannel) -> Any:
        """Run the job and return its scores; raise what it raised.

        Of a result with `metrics` only those come back: the process that gets them need not import
        what the whole result is made of.
        """
        Singleton.set_state(self.singletons)
        setup_globals()
        with as_trial(channel) if self.is_trial else nullcontext():
            done = run_job(
                task_function=self.task,
                config=self.config,
                hydra_context=self.context,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        result = done.return_value
        return dict(result.metrics) if hasattr(result, "metrics") else result


def _sets_value(override: Override, choices: Collection[str]) -> bool:
    """Tell whether an override gives a key one value (`a=1`, `++a=1`), and chooses no file."""
    is_plain = override.type in _SETS and not override.is_sweep_override()
    return is_plain and override.package is None and override.key_or_group not in choices


def study_node(config: DictConfig) -> dict[str, Any] | None:
    """Return the resolved `study` node; None where the application has none."""
    node = config.get(STUDY)
    if not OmegaConf.is_config(node):
        return None
    plain = OmegaConf.to_container(node, resolve=True)
    return dict(plain) if isinstance(plain, Mapping) else None  # type: ignore[arg-type]
