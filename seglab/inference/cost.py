"""What a model costs: parameters, operations, time, memory; and what a training step of it takes.

So that a better score can be set against its price, and a budget planned before the training.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seglab.core.errors import ConfigError
from seglab.inference.depthwise import fp32_depthwise_gradients
from seglab.inference.predictor import check_sizes

_WARMUP = 2
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cost:
    """What one prediction costs.

    Attributes:
        params_m: Parameters in millions, trained or frozen; a shared one counts once.
        gflops: 1e9 floating-point operations for one image. A multiply-add is 2 operations: many
            papers print GMACs under this name, which are half of it. Counted are convolutions,
            matrix products and attention; normalisation, activation and resizing, a few percent,
            are not.
        latency_ms: Median milliseconds of one forward pass of the batch.
        peak_memory_mb: 1e6 bytes that the device held at most, weights included; NaN on devices
            that do not count them (all but CUDA).
    """

    params_m: float
    gflops: float
    latency_ms: float
    peak_memory_mb: float


def measure_cost(
    model: nn.Module,
    image_hw: tuple[int, int],
    in_channels: int = 3,
    device: torch.device | str = "cpu",
    batch: int = 1,
    repeats: int = 10,
) -> Cost:
    """Measure a forward pass in evaluation mode, on random images.

    The model is measured as it is (precision, memory format, compiled or not) after two passes of
    warming up; its modes are as before afterwards. Autocast of the caller holds.

    Args:
        model: Image float `(batch, in_channels, *image_hw)` -> logits; on `device` already.
        image_hw: (H, W) that the model takes, in its stride.
        in_channels: Channels of the image.
        device: Where the model is.
        batch: Images in a pass; `gflops` is for one of them, the rest for all.
        repeats: Passes timed.

    Raises:
        ConfigError: An argument is below 1.
    """
    height, width = image_hw
    check_sizes("cost", H=height, W=width, in_channels=in_channels, batch=batch, repeats=repeats)
    device = torch.device(device)
    image = _random_image((batch, in_channels, *image_hw), model, device)
    with _evaluation_mode(model), torch.no_grad():
        gflops = count_flops(model, image) / batch / 1e9
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        latency = _median_seconds(lambda: model(image), device, repeats)
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params / 1e6, gflops, 1e3 * latency, _peak_memory_mb(device))


def count_flops(model: nn.Module, image: Tensor) -> int:
    """Return the floating-point operations of one pass, a multiply-add being 2, by PyTorch's counter.

    Args:
        model: Called once, in the mode it is in.
        image: Its input.
    """
    # The plain form of attention is matrix products, which every release counts on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops())


def measure_step(
    model: nn.Module,
    crop_hw: tuple[int, int],
    batch_size: int,
    loss: LossFunction = F.cross_entropy,
    in_channels: int = 3,
    device: torch.device | str = "cpu",
    repeats: int = 5,
    autocast: torch.dtype | None = None,
) -> float:
    """Return the median seconds of a training step: forward, backward, SGD, on data in memory.

    The bound for a training's speed: nothing is loaded, augmented or measured. A copy is trained,
    so the model stays as it is; frozen parameters stay frozen.

    Args:
        model: Image float `(batch_size, in_channels, *crop_hw)` -> logits, on `device` already.
        crop_hw: (H, W) that the model takes, in its stride.
        batch_size: Images in a step; at least 2 for models that normalise over the batch.
        loss: `(logits, mask int64 (B, H, W)) -> scalar`.
        in_channels: Channels of the image.
        device: Where the model is.
        repeats: Steps timed, after two of warming up.
        autocast: Type to compute in where it is safe, bfloat16 for example; None is the model's own.

    Raises:
        ConfigError: A size is below 1, or no parameter is trainable.
    """
    height, width = crop_hw
    numbers = {"batch_size": batch_size, "in_channels": in_channels, "repeats": repeats}
    check_sizes("cost", (), H=height, W=width, **numbers)
    device = torch.device(device)
    trained = copy.deepcopy(model).train()
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    if not parameters:
        raise ConfigError("expected a model with parameters to train, got none that is trainable")
    optimizer = torch.optim.SGD(parameters, lr=1e-4)
    image = _random_image((batch_size, in_channels, *crop_hw), trained, device)
    mask: Tensor | None = None

    def step() -> None:
        nonlocal mask
        half = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
        with half, fp32_depthwise_gradients(device):
            logits = trained(image)
        if mask is None:
            mask = _random_mask(logits)
        optimizer.zero_grad(set_to_none=True)
        loss(logits.float(), mask).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    # Dropout draws: not from what the training will draw from.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return _median_seconds(step, device, repeats)


def _median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    for _ in range(_WARMUP):
        work()
    seconds = []
    for _ in range(repeats):
        _synchronize(device)
        start = time.perf_counter()
        work()
        _synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_memory_mb(device: torch.device) -> float:
    if device.type != "cuda":
        return math.nan
    return torch.cuda.max_memory_allocated(device) / 1e6


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    # Part by part: a frozen encoder may be in another mode than the rest.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _random_image(shape: tuple[int, ...], model: nn.Module, device: torch.device) -> Tensor:
    """Return normal values in the model's type, from a generator of their own."""
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    floats = [item.dtype for item in model.parameters() if item.is_floating_point()]
    return image.to(device, floats[0] if floats else torch.float32)


def _random_mask(logits: Tensor) -> Tensor:
    shape = (len(logits), *logits.shape[2:])
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, logits.shape[1], shape, generator=rng).to(logits.device)
