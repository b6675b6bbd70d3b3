"""How much memory a training may use: what decides whether a batch fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from seglab.engine.device.slots import gpu_share

_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def memory_limit(accelerator: str, devices: Sequence[int] = (0,)) -> int:
    """Return the bytes a training process may use: of its GPU, else of the machine and its limits.

    Args:
        accelerator: `cpu`, `cuda` or `mps`.
        devices: Indices of the GPUs; the smallest counts.
    """
    if accelerator == "cuda":
        total = min(torch.cuda.get_device_properties(index).total_memory for index in devices)
        return int(total * gpu_share())
    if accelerator == "mps":
        return int(torch.mps.recommended_max_memory())
    return min([int(psutil.virtual_memory().total), *_process_limits(), *_group_limits()])


def others_use_it(accelerator: str) -> bool:
    """Whether other processes hold a good part of this process's GPU right now.

    A step that runs out of memory then says nothing about the device.
    """
    # Where a GPU is shared out, each process runs against its own part and never into another's.
    if accelerator != "cuda" or gpu_share() < 1:
        return False
    free, total = torch.cuda.mem_get_info()
    # The driver's own part, some hundred megabytes, is counted among the others.
    return total - free - torch.cuda.memory_reserved() > total // 10


def _process_limits() -> list[int]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    soft = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS))
    return [limit for limit in soft if limit != resource.RLIM_INFINITY]


def _group_limits() -> list[int]:
    """Return the limits of the container, and of the control group a scheduler put the process in."""
    files = [_CGROUP / "memory.max", _CGROUP / "memory" / "memory.limit_in_bytes"]
    if _OWN_CGROUP.is_file():
        for line in _OWN_CGROUP.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if not controllers:
                files.append(_CGROUP / place.lstrip("/") / "memory.max")
            elif "memory" in controllers.split(","):
                files.append(_CGROUP / "memory" / place.lstrip("/") / "memory.limit_in_bytes")
    texts = [path.read_text().strip() for path in files if path.is_file()]
    return [int(text) for text in texts if text.isdigit()]
