"""How work is sent to a cluster: to SLURM through submitit, or to Ray."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from seglab.core.errors import ConfigError

_CONNECT_S = 10.0
# What is called in the job; it travels there as a pickle.
Work = Callable[[], object]


class Handle(Protocol):
    """A submitted job."""

    name: str

    def done(self) -> bool:
        """Whether the job has ended."""

    def error(self) -> str | None:
        """Why an ended job failed; None where it did not."""

    def cancel(self) -> None:
        """Take the job back."""


# Name of the jobs, folder for their files, the node `hydra.launcher`; returns what sends work off.
Submitter = Callable[[str, Path, Mapping[str, Any]], Callable[[Work], Handle]]


def submit_by_submitit(
    name: str, folder: Path, options: Mapping[str, Any]
) -> Callable[[Work], Handle]:
    """Return what sends work to SLURM, or with `cluster: local` to a process of this machine.

    Raises:
        ConfigError: submitit is not installed, or there is no such cluster.
    """
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            "the launcher slurm needs submitit: pip install 'seglab[slurm]'"
        ) from None
    executor = submitit.AutoExecutor(folder=folder / "slurm", cluster=options["cluster"])
    executor.update_parameters(name=name, timeout_min=options["timeout_min"], **_asked(options))
    return lambda work: _SubmititHandle(executor.submit(work))


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return submitit's parameters; those of SLURM alone are no parameters of a local executor."""
    general = ("cpus_per_task", "gpus_per_node", "mem_gb")
    found = {key: options[key] for key in general if options.get(key) is not None}
    if options["cluster"] != "slurm":
        return {key: value for key, value in found.items() if key == "gpus_per_node"}
    own = ("partition", "account", "qos", "constraint", "additional_parameters", "setup")
    return found | {f"slurm_{key}": options[key] for key in own if options.get(key) is not None}


class _SubmititHandle:
    def __init__(self, job: Any) -> None:
        self.job = job
        self.name = f"job {job.job_id}"

    def done(self) -> bool:
        return bool(self.job.done())

    def error(self) -> str | None:
        failure = self.job.exception() if self.job.done() else None
        lines = str(failure).strip().splitlines() if failure is not None else []
        return None if failure is None else (lines[-1] if lines else type(failure).__name__)

    def cancel(self) -> None:
        self.job.cancel()


def submit_by_ray(name: str, folder: Path, options: Mapping[str, Any]) -> Callable[[Work], Handle]:
    """Return what sends work to a Ray cluster, which this process joins.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("the launcher ray needs Ray: pip install 'seglab[ray]'") from None
    if not ray.is_initialized():
        try:
            _require_answer(options["address"])
            ray.init(address=options["address"], log_to_driver=False, logging_level="warning")
        except OSError as error:
            raise ConfigError(
                f"hydra.launcher.address: no Ray cluster at '{options['address']}' ({error}); start "
                "one with `ray start --head`, or set hydra.launcher.address=null for this machine alone"
            ) from error
    remote = ray.remote(
        num_cpus=options["cpus_per_worker"],
        num_gpus=options["gpus_per_worker"],
        max_retries=0,
        scheduling_strategy="SPREAD",
    )(_call)
    counter = iter(range(1_000_000))
    return lambda work: _RayHandle(remote.remote(work), next(counter))


def _require_answer(address: str | None) -> None:
    """Raise `OSError` at once where nobody listens; Ray itself keeps trying for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()


def _call(work: Work) -> None:
    work()


class _RayHandle:
    def __init__(self, reference: Any, number: int) -> None:
        self.reference = reference
        self.name = f"ray worker {number}"

    def done(self) -> bool:
        import ray

        return bool(ray.wait([self.reference], timeout=0)[0])

    def error(self) -> str | None:
        import ray

        if not self.done():
            return None
        try:
            ray.get(self.reference)
        except (ray.exceptions.RayError, Exception) as failure:  # noqa: BLE001 - the message is shown
            return str(failure).strip().splitlines()[-1]
        return None

    def cancel(self) -> None:
        import ray

        ray.cancel(self.reference)


SUBMIT: dict[str, Submitter] = {"slurm": submit_by_submitit, "ray": submit_by_ray}
