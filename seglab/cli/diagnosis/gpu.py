"""Measures the GPU: what it computes and copies, whether loaders keep up, and what is off.

Used by `seglab doctor --gpu`. A figure is held against what cards with tensor cores reach when nothing
slows them; the bounds are low, so that what is named is truly off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from seglab.cli.diagnosis.finding import Finding

_AREA = "gpu"
# Half precision on tensor cores is at least twice as fast as fp32 on any card that has them.
_LEAST_SPEED_UP = 2.0
# PCIe 3 with 8 lanes; a card in a slot of 4 lanes, or copies through pageable memory, are below.
_LEAST_COPY_GB_S = 5.0
_LEAST_LOADER_IMAGES_S = 200.0
_SIDE = 4096
_COPY_BYTES = 256 * 2**20


def check_gpu() -> Iterator[Finding]:
    """Yield what was measured on the first GPU; says so where there is none."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        reason = "torch finds none" if built else "this torch is a CPU build"
        advice = (
            "nothing was measured; `nvidia-smi` shows what the driver sees, and a CPU build of "
        )
        advice += "torch sees no GPU whatever there is (reinstall torch for CUDA)"
        yield Finding(_AREA, "card", "note", f"no GPU: {reason}", advice)
    else:
        facts = torch.cuda.get_device_properties(0)
        text = f"{facts.name}, compute capability {facts.major}.{facts.minor}"
        yield Finding(_AREA, "card", "ok", text)
        yield _check_free_memory()
        yield _check_matmul()
        yield _check_copy()
    yield _check_loader()


def _check_free_memory() -> Finding:
    import torch

    free, total = torch.cuda.mem_get_info()
    text = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if free < 0.9 * total:
        advice = "another process uses the card; figures below and batches that fit suffer"
        return Finding(_AREA, "memory", "note", text, advice)
    return Finding(_AREA, "memory", "ok", text)


def _check_matmul() -> Finding:
    import torch

    rates = {}
    half = torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    for dtype in (torch.float32, half):
        one = torch.randn(_SIDE, _SIDE, device="cuda", dtype=dtype)
        seconds = _seconds(lambda one=one: one @ one, torch.cuda.synchronize)  # type: ignore[misc]
        rates[dtype] = 2 * _SIDE**3 / seconds / 1e12
    speed_up = rates[half] / rates[torch.float32]
    text = (
        f"{rates[half]:.0f} TFLOP/s in {str(half).removeprefix('torch.')}, "
        f"{rates[torch.float32]:.0f} in float32 (products of {_SIDE} x {_SIDE})"
    )
    if speed_up < _LEAST_SPEED_UP:
        advice = (
            "half precision is hardly faster: no tensor cores, or the card is throttled or busy"
        )
        return Finding(
            _AREA, "matmul", "note", text, f"{advice}; see `nvidia-smi -q -d PERFORMANCE`"
        )
    return Finding(_AREA, "matmul", "ok", text)


def _check_copy() -> Finding:
    import torch

    rates = {}
    for pinned in (True, False):
        source = torch.empty(_COPY_BYTES, dtype=torch.uint8, pin_memory=pinned)
        target = torch.empty(_COPY_BYTES, dtype=torch.uint8, device="cuda")
        seconds = _seconds(
            lambda source=source, target=target: target.copy_(source, non_blocking=True),  # type: ignore[misc]
            torch.cuda.synchronize,
        )
        rates[pinned] = _COPY_BYTES / seconds / 1e9
    text = (
        f"{rates[True]:.1f} GB/s to the card from pinned memory, {rates[False]:.1f} from pageable"
    )
    if rates[True] < _LEAST_COPY_GB_S:
        advice = "the link is slow: look at the lanes of the slot (`nvidia-smi -q | grep -A8 'GPU Link'`)"
        return Finding(_AREA, "copy", "note", text, advice)
    return Finding(_AREA, "copy", "ok", text)


def _check_loader() -> Finding:
    """Time loader workers that read as ours do: bytes from memory, stacked into pinned batches."""
    import torch
    from torch.utils.data import DataLoader

    from seglab.engine.device.facts import inspect_device
    from seglab.engine.device.plan import choose_plan
    from seglab.engine.options import PlanOptions

    plan = choose_plan(PlanOptions(), inspect_device())
    cuda = torch.cuda.is_available()
    batches, size = 24 + 4 * plan.num_workers, 16
    loader = DataLoader[Any](
        _Images(batches * size),  # type: ignore[arg-type] # rows by index and their number are enough
        size,
        num_workers=plan.num_workers,
        pin_memory=cuda,
    )
    iterator = iter(loader)
    # Until the workers are there and have filled their queues.
    warm = 1 + 2 * plan.num_workers
    for _ in range(warm):
        next(iterator)
    began = time.perf_counter()
    rest = sum(1 for _ in iterator)
    rate = rest * size / (time.perf_counter() - began)
    text = f"{rate:.0f} images of 512 x 512 a second by {plan.num_workers} workers"
    if cuda and rate < _LEAST_LOADER_IMAGES_S:
        advice = "loaders will keep the card waiting: give the process more cores or more /dev/shm"
        return Finding(_AREA, "loader", "note", text, advice)
    return Finding(_AREA, "loader", "ok", text)


class _Images:
    """Crops of one image in memory, uint8 `(3, 512, 512)`."""

    def __init__(self, count: int) -> None:
        import torch

        self.count = count
        self.source = torch.randint(0, 256, (3, 640, 640), dtype=torch.uint8)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> object:
        return self.source[:, index % 128 :, index % 64 :][:, :512, :512].contiguous()


def _seconds(work: Callable[[], object], wait: Callable[[], object], repeats: int = 10) -> float:
    for _ in range(3):
        work()
    wait()
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - began) / repeats
