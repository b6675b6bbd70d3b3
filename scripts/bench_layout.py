"""Measure convolutions and whole networks on this CPU: memory layouts in fp32, depthwise gradients in bf16.

Layouts: contiguous (NCHW) and channels_last (NHWC) in turn, forward and backward, several rounds: what the
execution plan's choice of layout rests on where there is no bf16. Prints medians and the ratio; above 1
channels_last is faster. Where the CPU multiplies bf16, depthwise convolutions and networks with them
in bf16 as torch takes their gradient and as seglab does (in fp32); above 1 ours is faster. Run it on
an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from seglab.config.compose import compose
from seglab.engine.device.facts import available_cores, cpu_bf16
from seglab.engine.device.plan import has_depthwise
from seglab.experiment.parts import build_model
from seglab.inference.depthwise import fp32_depthwise_gradients

Step = Callable[[], None]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Convolution(NamedTuple):
    """Channels in and out, edges of feature and kernel in pixels, groups, stride and dilation."""

    channels: int
    out: int
    edge: int
    kernel: int
    groups: int
    stride: int = 1
    dilation: int = 1


CONVOLUTIONS = {
    "dense 3x3, 32 channels": Convolution(32, 32, 96, 3, 1),
    "dense 3x3, 64 channels": Convolution(64, 64, 96, 3, 1),
    "dense 3x3, 256 channels": Convolution(256, 256, 24, 3, 1),
    "dense 1x1, 64 to 256": Convolution(64, 256, 48, 1, 1),
    "depthwise 3x3, 64 channels": Convolution(64, 64, 96, 3, 64),
    "depthwise 5x5, 96 channels": Convolution(96, 96, 48, 5, 96),
    "depthwise 7x7, 96 channels": Convolution(96, 96, 48, 7, 96),
}
DEPTHWISE = {
    "depthwise 3x3": Convolution(240, 240, 48, 3, 240, 1, 1),
    "depthwise 3x3, stride 2": Convolution(96, 96, 160, 3, 96, 2, 1),
    "depthwise 3x3, dilation 12": Convolution(304, 304, 48, 3, 304, 1, 12),
    "depthwise 5x5": Convolution(240, 240, 48, 5, 240, 1, 1),
    "depthwise 5x5, stride 2": Convolution(144, 144, 80, 5, 144, 2, 1),
    "depthwise 7x7": Convolution(96, 96, 80, 7, 96, 1, 1),
}
NETWORKS = {
    "U-Net / ResNet-18": ["model=unet", "model.encoder_name=resnet18"],
    "U-Net / MobileNetV3-small": ["model=unet", "model.encoder_name=mobilenetv3_small_100"],
    "U-Net / EfficientNet-lite0": ["model=unet", "model.encoder_name=tf_efficientnet_lite0"],
    "DeepLabV3+ / MobileNetV2": ["model=deeplabv3plus", "model.encoder_name=mobilenetv2_100"],
    "SegFormer / MiT-B0": ["model=segformer", "model.encoder_name=mit_b0"],
}


def convolution(spec: Convolution, layout: torch.memory_format) -> Step:
    """Return forward and backward of one convolution of a batch of 4."""
    image = torch.randn(4, spec.channels, spec.edge, spec.edge).to(memory_format=layout)
    image.requires_grad_()
    weight = torch.randn(spec.out, spec.channels // spec.groups, spec.kernel, spec.kernel)
    weight = weight.to(memory_format=layout).requires_grad_()
    padding = spec.dilation * (spec.kernel // 2)

    def step() -> None:
        result = F.conv2d(image, weight, None, spec.stride, padding, spec.dilation, spec.groups)
        result.backward(torch.ones_like(result))

    return step


def training_step(words: list[str], layout: torch.memory_format) -> Step:
    """Return forward and backward of a network on a batch of 4 images of 192 x 256."""
    model: nn.Module = build_model(compose(words), 8).to(memory_format=layout).train()
    image = torch.randn(4, 3, 192, 256).to(memory_format=layout)
    mask = torch.randint(0, 8, (4, 192, 256))

    def step() -> None:
        F.cross_entropy(model(image), mask).backward()

    return step


def in_bf16(step: Step, ours: bool) -> Step:
    """Return the same step in bf16, with torch's gradient of depthwise convolutions or ours."""

    def mixed() -> None:
        gradients = fp32_depthwise_gradients(torch.device("cpu")) if ours else nullcontext()
        with torch.autocast("cpu", torch.bfloat16), gradients:
            step()

    return mixed


def compare(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each, measured in turn after one step of warming up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def layouts(only: str | None) -> dict[str, dict[str, Step]]:
    """Return what is compared in both layouts."""
    cases = {}
    if only != "networks":
        for name, spec in CONVOLUTIONS.items():
            cases[name] = {key: convolution(spec, one) for key, one in LAYOUTS.items()}
    if only != "convolutions":
        for name, words in NETWORKS.items():
            kind = "depthwise" if has_depthwise(build_model(compose(words), 8)) else "dense"
            cases[f"{name} ({kind})"] = {
                key: training_step(words, one) for key, one in LAYOUTS.items()
            }
    return cases


def gradients(only: str | None) -> dict[str, dict[str, Step]]:
    """Return what is compared in bf16, with torch's depthwise gradients and with ours."""
    steps = {}
    if only != "networks":
        steps = {name: convolution(spec, torch.channels_last) for name, spec in DEPTHWISE.items()}
    if only != "convolutions":
        steps |= {
            name: training_step(words, torch.channels_last)
            for name, words in NETWORKS.items()
            if has_depthwise(build_model(compose(words), 8))
        }
    return {
        f"{name}, bf16": {"torch": in_bf16(step, False), "fp32 gradient": in_bf16(step, True)}
        for name, step in steps.items()
    }


def main() -> None:
    """Measure and print one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (default 7)")
    parser.add_argument("--only", choices=("convolutions", "networks"), help="only one of the two")
    arguments = parser.parse_args()
    torch.set_num_threads(available_cores())
    print(f"{torch.backends.cpu.get_cpu_capability()}, bf16: {cpu_bf16()}; ms, medians")
    cases = layouts(arguments.only)
    if cpu_bf16() == "fast":
        cases |= gradients(arguments.only)
    for name, steps in cases.items():
        found = compare(steps, arguments.rounds)
        before, after = found.values()
        shown = "  ".join(f"{key} {value:8.1f}" for key, value in found.items())
        print(f"{name:<40} {shown}  ratio {before / after:.2f}", flush=True)


if __name__ == "__main__":
    main()
