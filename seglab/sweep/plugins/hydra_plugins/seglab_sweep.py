"""Where Hydra looks for plugins: it takes sweepers and launchers from the package `hydra_plugins` only.

Hydra imports this file at the start of every application, so it imports nothing heavy; the work is
in `seglab.sweep`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from seglab.experiment.prepare.resolved import resolved

_INTERRUPTED = 130


class _WorkersLauncher(Launcher):
    """Says where workers run; `options` is its node in the configuration.

    Args:
        **options: See conf/hydra/launcher.
    """

    place: str

    def __init__(self, **options: Any) -> None:
        self.options = {key: resolved(value) for key, value in options.items()}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands over."""
        self.application = (config, hydra_context, task_function)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs that another sweeper chose, each in a process of its own."""
        from seglab.sweep.run import run_jobs

        return run_jobs(self, [list(words) for words in job_overrides], initial_job_idx)


class LocalLauncher(_WorkersLauncher):
    """Workers on this machine, one device each."""

    place = "local"


class SlurmLauncher(_WorkersLauncher):
    """Workers as jobs of a SLURM cluster, through submitit."""

    place = "slurm"


class RayLauncher(_WorkersLauncher):
    """Workers as tasks of a Ray cluster."""

    place = "ray"


class SeglabSweeper(Sweeper):
    """Runs studies on Optuna, and plain grids, on workers that take the next trial when free.

    Args:
        params: Further words, key -> values, as of Hydra's own sweeper; those typed win.
    """

    def __init__(self, params: Any = None) -> None:
        self.params = {str(key): str(value) for key, value in (params or {}).items()}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher; a foreign one cannot give devices to workers."""
        from hydra.core.plugins import Plugins

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, _WorkersLauncher):
            from seglab.core.errors import ConfigError

            raise ConfigError(
                "hydra/launcher: the sweeper of seglab needs local, slurm or ray, "
                f"got {type(launcher).__name__}"
            )
        self.workers = launcher

    def sweep(self, arguments: list[str]) -> Any:
        """Run what the words ask for; see `seglab.sweep.run.run_sweep`.

        Raises:
            SystemExit: It failed; stderr has the message, where Hydra would print a traceback.
            PlaceError: A folder cannot be used.
        """
        from seglab.core.errors import PlaceError, SeglabError
        from seglab.sweep.run import run_sweep

        typed = {word.partition("=")[0].lstrip("+") for word in arguments}
        further = [f"{key}={text}" for key, text in self.params.items() if key not in typed]
        try:
            return run_sweep(self.workers, [*further, *arguments])
        except PlaceError:
            raise  # `seglab` reports it: it knows the words, and so the setting
        except SeglabError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(error.exit_code) from error
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted; the same command resumes where this one stopped\n")
            raise SystemExit(_INTERRUPTED) from None
        finally:
            # The command ends here: an interpreter that leaves need not search the figures for cycles
            # (0.7 s).
            gc.freeze()
