"""The Hydra application that a sweep runs again and again, and one job of it in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.core.trial import TrialChannel, as_trial

STUDY = "study"


@dataclass
class Application:
    """What Hydra handed to the sweeper.

    Args:
        config: The composed configuration of the whole multirun, with its `hydra` node.
        context: Loader of configurations, and callbacks.
        task: The function each job calls.
    """

    config: DictConfig
    context: HydraContext
    task: TaskFunction

    def compose(self, words: Sequence[str], number: int) -> DictConfig:
        """Return the configuration of one job, with its `hydra` node.

        Args:
            words: Overrides of the job, beside those of the whole multirun for Hydra itself.
            number: Of the job in its sweep.

        Raises:
            HydraException: The words do not compose.
        """
        config = self.context.config_loader.load_sweep_config(self.config, list(words))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def job(self, config: DictConfig, is_trial: bool) -> Job:
        """Return the work of one job, to be called in another process."""
        return Job(config, self.context, self.task, Singleton.get_state(), is_trial)

    def tell(self) -> None:
        """Let log lines of the controller look as Hydra was told."""
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
        context: As in `Application`.
        task: As in `Application`.
        singletons: Hydra's global state, with the resolvers of interpolations.
        is_trial: Whether the task is told to be a trial of a study.
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
                task_function=self.task, config=self.config, hydra_context=self.context,
                job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
            )  # fmt: skip
        result = done.return_value
        return dict(result.metrics) if hasattr(result, "metrics") else result


def study_node(config: DictConfig) -> dict[str, Any] | None:
    """Return the resolved `study` node; None where the application has none."""
    node = config.get(STUDY)
    if not OmegaConf.is_config(node):
        return None
    plain = OmegaConf.to_container(node, resolve=True)
    return dict(plain) if isinstance(plain, Mapping) else None  # type: ignore[arg-type]
