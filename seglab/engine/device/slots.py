"""Places to train at: which devices or CPU cores each of several processes gets for itself.

A process sees only what is its own: GPUs through `CUDA_VISIBLE_DEVICES` (indices, or the ids of MIG
parts), CPU cores through its affinity, so that processes side by side do not fight for either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from seglab.core.errors import ConfigError

CPUS = "SEGLAB_CPUS"
VISIBLE = "CUDA_VISIBLE_DEVICES"
GPU_SHARE = "SEGLAB_GPU_SHARE"


@dataclass(frozen=True)
class Slot:
    """What one process at a time may use.

    Attributes:
        name: For people: `gpu 0`, `cpu 0-1`.
        variables: Environment of the process.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)


def make_slots(
    accelerator: str,
    workers: int | str = "auto",
    devices_each: int = 1,
    only: Sequence[int] | None = None,
    per_gpu: int = 1,
) -> list[Slot]:
    """Return the slots of this machine.

    Args:
        accelerator: auto, cpu, gpu, cuda or mps.
        workers: How many; auto: as many as fit on the GPUs, one on a CPU or an MPS device.
        devices_each: GPUs a slot gets; on a CPU all slots share the cores evenly.
        only: Which of the visible GPUs may be used, by their place among them; None: all.
        per_gpu: Slots that share a GPU, each with an even part of its memory.

    Raises:
        ConfigError: More are asked for than there are devices or cores, or a GPU is to be shared by
            processes of several, or where there is none.
    """
    gpus = visible_gpus() if accelerator in ("auto", "gpu", "cuda") else []
    if gpus and only is not None:
        wrong = [place for place in only if place >= len(gpus)]
        if wrong:
            raise ConfigError(f"trainer.devices: expected 0..{len(gpus) - 1}, got {wrong}")
        gpus = [gpus[place] for place in only]
    if per_gpu > 1 and (devices_each > 1 or not gpus):
        got = f"{devices_each} devices a process" if gpus else "no GPU to share"
        raise ConfigError(
            f"hydra.launcher.trials_per_gpu={per_gpu}: expected GPUs and one of them a process, got {got}"
        )
    return _gpu_slots(gpus, workers, devices_each, per_gpu) if gpus else _cpu_slots(workers)


def _gpu_slots(gpus: list[str], workers: int | str, devices_each: int, per_gpu: int) -> list[Slot]:
    groups = [
        gpus[start : start + devices_each]
        for start in range(0, len(gpus) - devices_each + 1, devices_each)
        for _ in range(per_gpu)
    ]
    count = len(groups) if workers == "auto" else int(workers)
    if count > len(groups) or not groups:
        raise ConfigError(
            f"expected at most {len(groups)} processes with {devices_each} GPUs each (visible: "
            f"{', '.join(gpus)}), got {max(count, 1)}; hydra.launcher.trials_per_gpu lets several "
            "trials share one"
        )
    # Each has its own part of the memory: what one trial leaves free the other would run out of.
    share = {GPU_SHARE: str(1 / per_gpu)} if per_gpu > 1 else {}
    return [
        Slot(
            f"gpu {','.join(group)}" + (f" part {place % per_gpu + 1}" if share else ""),
            {VISIBLE: ",".join(group), **share},
        )
        for place, group in enumerate(groups[:count])
    ]


def _cpu_slots(workers: int | str) -> list[Slot]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    total = len(cores) or os.cpu_count() or 1
    count = 1 if workers == "auto" else int(workers)
    if count > total:
        raise ConfigError(f"expected at most one process a CPU core ({total}), got {count}")
    return [_cpu_slot(part, cores, count, total) for part in range(count)]


def _cpu_slot(part: int, cores: list[int], count: int, total: int) -> Slot:
    first, last = part * total // count, (part + 1) * total // count
    threads = {"OMP_NUM_THREADS": str(last - first), "MKL_NUM_THREADS": str(last - first)}
    own = ",".join(map(str, cores[first:last]))
    # An empty list hides GPUs from a process that is meant for the CPU.
    return Slot(f"cpu {own or part}", {**threads, VISIBLE: "", **({CPUS: own} if own else {})})


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs this process may use, without starting CUDA in it."""
    named = os.environ.get(VISIBLE)
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip() not in ("", "-1")]
    import torch  # only here: who takes a slot must do so before torch is imported

    return [str(index) for index in range(torch.cuda.device_count())]


def gpu_share() -> float:
    """Return the share of its GPU's memory this process may use, in (0, 1]."""
    return float(os.environ.get(GPU_SHARE, "1"))


def take_slot() -> None:
    """Pin this process to the cores of its slot, if it was given any."""
    own = os.environ.get(CPUS)
    if own and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in own.split(",")})
