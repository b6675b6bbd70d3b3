"""The hardware: processors, memory, GPUs, and what of bf16 runs fast on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seglab.cli.diagnosis.finding import Finding, gibibytes

_AREA = "devices"
_CGROUP = Path("/sys/fs/cgroup")
_SHM = Path("/dev/shm")  # noqa: S108 - looked at, not written to
_LITTLE_SHM = 64 * 2**20
_LITTLE_MEMORY = 4 * 2**30


def check_devices() -> Iterator[Finding]:
    """Yield facts about CPU, memory and accelerators; imports torch."""
    import torch

    from seglab.engine.device.facts import available_cores, inspect_device
    from seglab.engine.device.plan import choose_plan
    from seglab.engine.options import PlanOptions

    device = inspect_device("cpu")
    yield Finding(_AREA, "cpu", "ok", f"{device.name}, {available_cores()} cores for this process")
    yield _check_memory()
    yield _check_shared_memory()
    yield _check_cpu_bf16()
    yield from _check_cuda()
    if torch.backends.mps.is_available():
        yield Finding(_AREA, "mps", "ok", "available")
    plan = choose_plan(PlanOptions(), inspect_device())
    yield Finding(_AREA, "plan", "ok", plan.sentence().removeprefix("plan: "))


def memory_limit() -> int | None:
    """Return the memory a container grants, in bytes; None without a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = _CGROUP / name
        if path.is_file():
            text = path.read_text().strip()
            # Version 1 says "no limit" with a number near 2**63.
            return int(text) if text.isdigit() and int(text) < 2**60 else None
    return None


def _check_memory() -> Finding:
    import psutil

    total, limit = psutil.virtual_memory().total, memory_limit()
    granted = min(total, limit or total)
    text = gibibytes(granted) + (
        f" (container limit, {gibibytes(total)} built in)" if limit else ""
    )
    if granted < _LITTLE_MEMORY:
        return Finding(_AREA, "memory", "note", text, "use small batches and images")
    return Finding(_AREA, "memory", "ok", text)


def _check_shared_memory() -> Finding:
    import psutil

    if not _SHM.is_dir():
        return Finding(_AREA, "shared memory", "ok", "no /dev/shm on this system")
    free = psutil.disk_usage(str(_SHM)).free
    text = f"{gibibytes(free)} free in /dev/shm"
    if free < _LITTLE_SHM:
        advice = "loader workers need it: start the container with --shm-size=1g, or use none"
        return Finding(_AREA, "shared memory", "note", text, advice)
    return Finding(_AREA, "shared memory", "ok", text)


def _check_cpu_bf16() -> Finding:
    from seglab.engine.device.facts import cpu_bf16

    notes = {
        "fast": "fast",
        "slow": "emulated, slower than fp32; fp32 is used",
        "cpu lacks it": "not supported by this CPU; fp32 is used",
        "torch lacks it": "not supported by this build of torch; fp32 is used",
    }
    return Finding(_AREA, "cpu bf16", "ok", notes[cpu_bf16()])


def _check_cuda() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        text = f"none found (torch is built for CUDA {built})" if built else "torch is a CPU build"
        yield Finding(_AREA, "cuda", "ok", text)
        return
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no fast bf16"
        text = f"{facts.name}, {gibibytes(facts.total_memory)}, {bf16}"
        yield Finding(_AREA, f"cuda:{index}", "ok", text)
