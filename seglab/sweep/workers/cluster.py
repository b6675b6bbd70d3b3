"""Workers as jobs of a cluster: SLURM through submitit, or Ray. They meet in the study's storage.

The process that the user started submits the jobs, shows what comes in and sends new jobs for those
that were lost; it runs no trial itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from omegaconf import DictConfig
from rich.console import Console

from seglab.core.cluster.jobs import SUBMIT, Handle
from seglab.core.errors import TrainingError, list_problems
from seglab.core.text.terminal import say
from seglab.sweep.workers.follow import Follower
from seglab.sweep.workers.serve import LocalWorkers, open_watch
from seglab.sweep.workers.submit import Worker
from seglab.sweep.workers.sweep import Sweep

log = logging.getLogger(__name__)
_POLL_S = 2.0
_LEAVE_S = 30.0
# A cluster whose jobs end again and again without having ended a trial is not served any longer.
_MAX_USELESS = 3


def _wait_for(handles: list[Handle]) -> None:
    """Let the jobs of a study that is done leave by themselves."""
    end = time.monotonic() + _LEAVE_S
    while time.monotonic() < end and not all(handle.done() for handle in handles):
        time.sleep(_POLL_S / 4)


def _follow(follower: Follower, handles: list[Handle], submit: Callable[[], Handle]) -> None:
    """Show what comes in; replace jobs that are gone while trials wait."""
    useless = 0
    while True:
        news = follower.look()
        useless = 0 if news else useless
        if follower.is_done():
            return
        gone = [handle for handle in handles if handle.done()]
        failures = [f"{handle.name}: {handle.error()}" for handle in gone if handle.error()]
        useless += len(failures)
        if useless >= _MAX_USELESS * max(len(handles), 1):
            raise TrainingError(
                list_problems("the workers on the cluster fail; the last ones", failures)
            )
        for handle in gone:
            # A job that ended well had nothing to claim; its place is needed only for lost trials.
            handles.remove(handle)
            if handle.error() or len(handles) == 0:
                handles.append(submit())
        time.sleep(_POLL_S)


class Workers(Protocol):
    """Where sweeps run."""

    def serve(self, sweep: Sweep, console: Console) -> None:
        """Run trials of a sweep until nothing is left to do."""


@dataclass
class ClusterWorkers:
    """Workers on a cluster.

    Args:
        place: slurm or ray.
        options: The node `hydra.launcher`; `jobs` says how many workers.
    """

    place: str
    options: Mapping[str, Any]

    def serve(self, sweep: Sweep, console: Console) -> None:
        """Submit worker jobs and wait until the study is done.

        Raises:
            TrainingError: Jobs end without doing anything; the message has the reasons of the last.
        """
        submit = SUBMIT[self.place](sweep.plan.name, sweep.folder, self.options)
        worker = Worker(sweep, dict(self.options))
        handles = [submit(worker) for _ in range(int(self.options["jobs"]))]
        for handle in handles:
            say(console, f"worker {handle.name} submitted")
        try:
            with open_watch(sweep, [handle.name for handle in handles], console) as watch:
                _follow(Follower(sweep, watch), handles, lambda: submit(worker))
            _wait_for(handles)
        finally:
            for handle in handles:
                if not handle.done():
                    handle.cancel()


@contextmanager
def open_workers(place: str, config: DictConfig, options: Mapping[str, Any]) -> Iterator[Workers]:
    """Yield the workers of a launcher.

    Args:
        place: local, slurm or ray.
        config: Of the application.
        options: The node `hydra.launcher`.

    Raises:
        ConfigError: More devices are asked for than there are.
    """
    if place != "local":
        yield ClusterWorkers(place, options)
        return
    with LocalWorkers(config, options) as workers:
        yield workers
