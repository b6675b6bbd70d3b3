"""Starts the other processes of a training on several devices.

Lightning would start each rank by repeating the command line. Under a Hydra multirun that repeats
the whole sweep (lightning-hydra-template issue 393), so a rank here is a process of its own that
reads the resolved configuration from the run record and composes nothing.

Not the pool of trials and folds: a rank belongs into the process group of its training, so that whatever
ends that ends it too, prints where that prints, and the training in between could hear no events.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.core.trial import TrialPrunedError

log = logging.getLogger(__name__)

_RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE_SECONDS = 60.0


def local_rank() -> int:
    """Return this process's rank on its machine; 0 for a training on one device."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_rank_zero() -> bool:
    """Tell whether this process writes the record."""
    return local_rank() == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


@contextmanager
def other_ranks(run_dir: Path, num_devices: int) -> Iterator[None]:
    """Run the ranks 1..num_devices-1 of a training while the body runs rank 0.

    Does nothing for one device. Ranks that are still there when the body ends with an error are
    stopped.

    Args:
        run_dir: Run whose `config.yaml` the ranks read.
        num_devices: Processes on this machine, this one included.
    """
    if num_devices == 1:
        yield
        return
    variables = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(num_devices),
        "NODE_RANK": "0",
    }
    command = [sys.executable, "-m", "seglab.experiment.rank", str(run_dir)]
    children = [
        subprocess.Popen(command, env={**os.environ, **variables, "LOCAL_RANK": str(rank)})
        for rank in range(1, num_devices)
    ]
    os.environ |= {**variables, "LOCAL_RANK": "0"}
    patience = 1.0
    try:
        yield
        patience = _PATIENCE_SECONDS
    except TrialPrunedError:
        # Agreed on by all ranks, which are leaving too.
        patience = _PATIENCE_SECONDS
        raise
    finally:
        for child in children:
            _stop(child, patience)
        for name in _RANK_VARIABLES:
            os.environ.pop(name, None)


def _stop(child: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for a rank to leave; then ask it to, then make it."""
    for ask in (child.terminate, child.kill):
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            log.warning("rank process %d does not end; stopping it", child.pid)
            ask()
    code = child.wait()
    if code:
        log.warning("rank process %d ended with code %d", child.pid, code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
