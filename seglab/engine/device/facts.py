"""Facts about the hardware that a plan is made for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

from seglab.core.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """Facts about the hardware a plan is made for."""

    accelerator: Literal["cpu", "cuda", "mps"]
    name: str
    num_devices: int
    num_cores: int
    has_fast_bf16: bool
    shared_memory_bytes: int | None = None
    compiles: bool = True
    thread_limit: int | None = None


def available_cores() -> int:
    """Return the cores this process may use: CPU affinity and container quota counted."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if quota_file.is_file():
        quota, period = quota_file.read_text().split()
        if quota != "max":
            cores = min(cores or 1, max(1, int(quota) // int(period)))
    return cores or 1


def inspect_device(accelerator: str = "auto", devices: int | str | list[int] = 1) -> Device:
    """Return facts about the device to train on.

    Raises:
        ConfigError: The accelerator or the number of devices asked for is not there.
    """
    kind = _resolve_accelerator(accelerator)
    present = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    count = _count_devices(devices, present, kind)
    shm = Path("/dev/shm")  # noqa: S108 - read for its size, nothing is written
    if kind == "cuda":
        name, fast_bf16 = torch.cuda.get_device_name(0), torch.cuda.is_bf16_supported(False)
    else:
        name, fast_bf16 = _cpu_name(), kind == "cpu" and cpu_bf16() == "fast"
    return Device(
        accelerator=kind,
        name=name,
        num_devices=count,
        num_cores=available_cores(),
        has_fast_bf16=fast_bf16,
        shared_memory_bytes=psutil.disk_usage(str(shm)).free if shm.is_dir() else None,
        # Triton makes code for compute capability 7.0 and newer.
        compiles=kind != "cuda" or torch.cuda.get_device_capability(0) >= (7, 0),
        thread_limit=_thread_limit(),
    )


def _thread_limit() -> int | None:
    """Return how many threads a process may compute with by its environment; None: it says nothing."""
    # Of several levels of nested threads the first counts, as for OpenMP itself.
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _resolve_accelerator(accelerator: str) -> Literal["cpu", "cuda", "mps"]:
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if accelerator == "auto":
        return next(kind for kind, there in available.items() if there)  # type: ignore[misc,return-value]
    kind = {"gpu": "cuda"}.get(accelerator, accelerator)
    if not available.get(kind, False):
        there = ", ".join(kind for kind, present in available.items() if present)
        raise ConfigError(
            f"trainer.accelerator: '{accelerator}' is not on this machine; it has {there}"
        )
    return kind  # type: ignore[return-value]


def _count_devices(devices: int | str | list[int], present: int | None, kind: str) -> int:
    if devices == "auto":
        return present or 1
    if isinstance(devices, list):
        wrong = [index for index in devices if present is None or index >= present]
        if wrong or len(set(devices)) != len(devices):
            there = f"0..{present - 1}" if kind == "cuda" and present else "no list on this device"
            raise ConfigError(f"trainer.devices: expected distinct indices, {there}; got {devices}")
    count = len(devices) if isinstance(devices, list) else int(devices)
    if count == -1 and present:
        return present
    if count < 1 or (present is not None and count > present):
        limit = f"1 to {present}" if present is not None else "1 or more processes"
        raise ConfigError(f"trainer.devices: expected {limit} for {kind}, got {devices}")
    return count


def cpu_bf16() -> Literal["fast", "slow", "cpu lacks it", "torch lacks it"]:
    """Tell how this process multiplies bf16 on the CPU, as torch itself sees it.

    Torch is asked rather than the processor's list of abilities: it may have been told to use less
    (`ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA`), and a virtual machine may hide some.

    Returns:
        `fast`: in hardware. `slow`: emulated, so fp32 is faster. `cpu lacks it`: the processor, or
        what torch may use of it, cannot. `torch lacks it`: the processor can, this build of torch
        has no oneDNN that would.
    """
    can = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    allowed = not torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "DEFAULT", "NO AVX"))
    if not torch.backends.mkldnn.is_available():
        return "torch lacks it" if can and allowed else "cpu lacks it"
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "cpu lacks it"
    return "fast" if can and allowed else "slow"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "cpu"
