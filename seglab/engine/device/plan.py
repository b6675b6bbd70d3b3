"""The execution plan: how a training uses the device it finds.

Memory format, precision, compilation, threads and loader workers decide speed by a factor of three
on a CPU and more on a GPU, so they are chosen per device, said in one line, recorded with the run,
and each can be set by hand. The choice follows from facts about the machine and never from a stop
watch: the same machine always gets the same plan, so a run can be repeated bit by bit.
`scripts/bench_train.py` measures what the rules below rest on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn

from seglab.core.errors import ConfigError
from seglab.core.text.wording import plural
from seglab.engine.device.compiling import CompileMode, compile_mode_for, compiling_pays
from seglab.engine.device.facts import Device
from seglab.engine.options import PlanOptions

Precision = Literal["fp32", "bf16", "fp16"]
MemoryFormat = Literal["channels_last", "contiguous"]
# So many augmented 400 images of 512x512 a second beside an H100 (docs/gpus.md).
_MAX_WORKERS_PER_DEVICE = 14
# What a worker keeps in shared memory: two batches of training ahead, and two of a validation.
_BATCHES_A_WORKER = 4
_USUAL_BATCH_BYTES = 16 * 2**20
_LIGHTNING_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class ExecutionPlan:
    """The choices of one run.

    Attributes:
        accelerator: `cpu`, `cuda` or `mps`.
        num_devices: Processes that train side by side, one device each.
        precision: `fp32`, or mixed precision in `bf16` or `fp16`.
        memory_format: Layout of images and convolution weights.
        compile: Whether the model goes through `torch.compile`.
        num_threads: Threads a training process computes with.
        num_workers: Loader processes a training process has.
        micro_batch_size: Images a device holds at once; smaller than its share of the batch when
            gradients are accumulated. None: the whole share.
        reasons: One short reason a choice, in the order of the fields.
        compile_mode: How `torch.compile` does it; `reduce-overhead` replays CUDA graphs.
    """

    accelerator: str
    num_devices: int
    precision: Precision
    memory_format: MemoryFormat
    compile: bool
    num_threads: int
    num_workers: int
    micro_batch_size: int | None = None
    reasons: tuple[str, ...] = field(default=(), compare=False)
    compile_mode: CompileMode = "default"

    @property
    def lightning_precision(self) -> str:
        """The value for `pytorch_lightning.Trainer(precision=...)`."""
        return _LIGHTNING_PRECISION[self.precision]

    @property
    def torch_memory_format(self) -> torch.memory_format:
        """The torch constant for `memory_format`."""
        channels_last = self.memory_format == "channels_last"
        return torch.channels_last if channels_last else torch.contiguous_format

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the run record."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ExecutionPlan:
        """Rebuild what `to_dict` returned."""
        return cls(**{**content, "reasons": tuple(content["reasons"])})

    def sentence(self) -> str:
        """Return the plan and its reasons in one line."""
        micro = f", micro-batch {self.micro_batch_size}" if self.micro_batch_size else ""
        way = "" if self.compile_mode == "default" else f" ({self.compile_mode})"
        compiled = f"on{way}" if self.compile else "off"
        return (
            f"plan: {self.num_devices} x {self.accelerator}, {self.precision}, "
            f"{self.memory_format}, compile {compiled}, "
            f"{plural(self.num_threads, 'thread')}, {plural(self.num_workers, 'worker')}{micro} "
            f"({'; '.join(self.reasons)})"
        )


def has_depthwise(model: nn.Module) -> bool:
    """Tell whether a network convolves channel by channel, as MobileNets and EfficientNets do."""
    return any(
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for module in model.modules()
    )


def choose_plan(
    settings: PlanOptions,
    device: Device,
    micro_batch_size: int | None = None,
    model: nn.Module | None = None,
    steps: int | None = None,
    batch_bytes: int | None = None,
) -> ExecutionPlan:
    """Return the plan for a device; what the user set by hand stands, the rest follows the rules.

    Args:
        settings: The user's words.
        device: Facts from `inspect_device`.
        micro_batch_size: A micro-batch set by hand, or None.
        model: The network, whose kind decides the layout on a CPU that computes in fp32; None where
            it is not known yet.
        steps: Optimizer steps of the whole run, by which compiling is judged; None: not known.
        batch_bytes: What a device's share of a batch takes as it is stored, by which loader workers have to
            fit into shared memory; None: not known, 16 MiB.

    Raises:
        ConfigError: A choice that this device cannot do.
    """
    stock = settings.plan == "stock"
    base = _stock_plan(device) if stock else _auto_plan(settings, device, model, steps, batch_bytes)
    names = ("precision", "memory_format", "compile", "num_threads", "num_workers")
    asked: dict[str, Any] = {name: getattr(settings, name) for name in names}
    changes = {name: value for name, value in asked.items() if value != "auto"}
    by_hand = (f"{', '.join(changes)} set by hand",) if changes else ()
    if not changes.get("compile", base.compile) or micro_batch_size is not None:
        # Gradients of several parts would lie in the memory that a graph writes anew.
        changes["compile_mode"] = "default"
    reasons = (*base.reasons, *by_hand)
    plan = replace(base, **changes, micro_batch_size=micro_batch_size, reasons=reasons)
    if plan.precision == "fp16" and plan.accelerator == "cpu":
        raise ConfigError("trainer.precision: fp16 needs a GPU; on a CPU choose bf16 or fp32")
    return plan


def _stock_plan(device: Device) -> ExecutionPlan:
    cores = max(1, device.num_cores // device.num_devices)
    return ExecutionPlan(
        accelerator=device.accelerator,
        num_devices=device.num_devices,
        precision="fp32",
        memory_format="contiguous",
        compile=False,
        num_threads=min(cores, device.thread_limit or cores),
        num_workers=0,
        reasons=("stock: torch's own defaults",),
    )


def _auto_plan(
    settings: PlanOptions,
    device: Device,
    model: nn.Module | None,
    steps: int | None,
    batch_bytes: int | None,
) -> ExecutionPlan:
    cores = max(1, device.num_cores // device.num_devices)
    reasons = []
    if device.accelerator == "cuda":
        precision: Precision = "bf16" if device.has_fast_bf16 else "fp16"
        reasons.append(f"{device.name} has tensor cores for {precision}")
    elif device.accelerator == "cpu" and device.has_fast_bf16:
        precision = "bf16"
        reasons.append("the CPU multiplies bf16 in hardware")
    else:
        precision = "fp32"
        reasons.append(f"{device.accelerator} has no fast half precision")
    # The layout follows what is computed in, also where that was set by hand.
    used = precision if settings.precision == "auto" else settings.precision
    memory_format = _memory_format(device, used, model, reasons)
    if device.thread_limit is not None and device.thread_limit < cores:
        reasons.append(f"OMP_NUM_THREADS is {device.thread_limit}")
    compiled, reason = compiling_pays(device, steps)
    reasons.append(reason)
    return replace(
        _stock_plan(device),
        precision=precision,
        memory_format=memory_format,
        compile=compiled,
        num_workers=_workers(device, cores, batch_bytes or _USUAL_BATCH_BYTES, reasons),
        reasons=tuple(reasons),
        compile_mode=compile_mode_for(device, model),
    )


def _workers(device: Device, cores: int, batch_bytes: int, reasons: list[str]) -> int:
    # On a CPU a worker takes more from the step than it hides: 18.7 images a second with one, 20.4
    # without (U-Net/resnet18, 192x256, two cores).
    if device.accelerator != "cuda":
        return 0
    wanted, shared = min(_MAX_WORKERS_PER_DEVICE, cores), device.shared_memory_bytes
    if shared is None:
        return wanted
    # Where it runs out, a worker dies of a bus error.
    each = _BATCHES_A_WORKER * batch_bytes
    room = shared // device.num_devices // each
    if room < wanted:
        count = plural(room, "loader worker") if room else "no loader workers"
        reasons.append(
            f"{count}: /dev/shm has {shared / 2**20:.0f} MiB, one takes {each / 2**20:.0f} MiB there"
        )
    return min(wanted, room)


def _memory_format(
    device: Device, precision: str, model: nn.Module | None, reasons: list[str]
) -> MemoryFormat:
    if device.accelerator == "mps":
        return "contiguous"
    if device.accelerator == "cuda" or precision != "fp32":
        return "channels_last"
    # In fp32 on a CPU: forward and backward of depthwise convolutions take 0.4 of the time in
    # channels_last, of dense ones 1.1 to 2 times (scripts/bench_layout.py).
    if model is not None and has_depthwise(model):
        reasons.append("depthwise convolutions are faster in channels_last")
        return "channels_last"
    if model is not None:
        reasons.append("dense convolutions in fp32 are no faster in channels_last")
    return "contiguous"
