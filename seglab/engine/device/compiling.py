"""Whether a run is compiled, and how: a rule from facts, as for the rest of the execution plan."""

from __future__ import annotations

import importlib.util
from typing import Literal

from torch import nn

from seglab.engine.device.facts import Device

CompileMode = Literal["default", "reduce-overhead"]
# What torch.compile takes before the first steps, the share of a step it saves, and what a step takes:
# estimates for a segmentation network on a GPU, not a stop watch, so that a plan can be repeated.
_COMPILE_SECONDS, _COMPILE_SAVES, _STEP_SECONDS = 90.0, 0.15, 0.05
COMPILE_PAYS_FROM = round(_COMPILE_SECONDS / (_COMPILE_SAVES * _STEP_SECONDS))
# The GPU waits for the launches of a small network; CUDA graphs replay them at once.
SMALL_NETWORK = 5_000_000


def compiling_pays(device: Device, steps: int | None) -> tuple[bool, str]:
    """Tell whether a run is long enough to earn back what compiling takes, and why."""
    if device.accelerator != "cuda":
        # Slower than the step as it is, on the CPUs it was measured on, after a minute of warm-up.
        return False, f"compile gains nothing on {device.accelerator}"
    if steps is None:
        return False, f"compile pays from about {COMPILE_PAYS_FROM} steps, and these are not known"
    if importlib.util.find_spec("triton") is None:
        return False, "compile needs triton, which is not installed"
    if not device.compiles:
        return False, f"{device.name} is older than what torch.compile makes code for"
    pays = steps >= COMPILE_PAYS_FROM
    words = "earn back" if pays else "do not earn back"
    return pays, (
        f"{steps} steps {words} compiling (about {_COMPILE_SECONDS:.0f} s against {_COMPILE_SAVES:.0%} "
        f"of a step: from about {COMPILE_PAYS_FROM})"
    )


def compile_mode_for(device: Device, model: nn.Module | None) -> CompileMode:
    """Return how a model is best compiled: CUDA graphs for small networks on one GPU."""
    if device.accelerator != "cuda" or device.num_devices > 1 or model is None:
        return "default"
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL_NETWORK
    return "reduce-overhead" if small else "default"
