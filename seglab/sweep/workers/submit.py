"""The job of a cluster that serves a study."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import setup_globals

from seglab.core.text.terminal import open_console
from seglab.sweep.workers.serve import LocalWorkers
from seglab.sweep.workers.sweep import Sweep

# What a node's own software says of it, and what keeps processes off each other's devices.
_OF_THE_NODE = ("CUDA_", "OMP_", "MKL_", "RAY_", "SLURM_", "SUBMITIT_", "NVIDIA_", "ROCR_", "HIP_")


@dataclass
class Worker:
    """The job of a cluster: serves the study with the devices of the node it got.

    Args:
        sweep: The study.
        options: The node `hydra.launcher`.
        singletons: Hydra's global state, which composing a trial's configuration needs.
        environment: Variables of the process that submits; a job gets those it lacks.
        folder: Current folder of the process that submits.
    """

    sweep: Sweep
    options: dict[str, Any]
    singletons: Any = field(default_factory=Singleton.get_state)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = field(default_factory=Path.cwd)

    def __call__(self) -> None:
        """Run trials until nothing is left that this job could do."""
        for name, value in self.environment.items():
            if not name.startswith(_OF_THE_NODE):
                os.environ.setdefault(name, value)
        if self.folder.is_dir():
            os.chdir(self.folder)
        Singleton.set_state(self.singletons)
        setup_globals()
        with LocalWorkers(self.sweep.application.config, self.options) as workers:
            workers.serve(self.sweep, open_console(), stays=False)

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """Serve in a new job when SLURM takes the node away; the saved trials are resumed."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
