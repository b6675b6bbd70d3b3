"""A network as a graph: torch.export, then ONNX, with batch and size left open, and proof of both.

torch.export fixes sizes it has seen where a network's code depends on them, adaptive pooling of an open
size comes out wrong in ONNX, and padding that depends on the size takes minutes and cannot be saved. So
both are replaced by what gives the same, and what came out is run at sizes that the exporter never saw.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from timm.layers import padding as timm_padding
from torch import Tensor, nn
from torch._dynamo.exc import UserError  # what torch.export raises; it has no public name
from torch.export import Dim, ExportedProgram

from seglab.core.errors import SeglabError
from seglab.models import Segmenter

# Sides in multiples of the divisor; only the first is what the exporter sees.
_SIDES = ((3, 4), (2, 5), (5, 3), (4, 6))
_BATCHES = (1, 3)
_EXPORT_BATCH = 2
_LEAST_SIDE = 96
_TOLERANCE, _ATTEMPTS = 1e-3, 3


class ExportError(SeglabError):
    """The network cannot be exported, or what came out is not the network."""


class RawInput(nn.Module):
    """A network that takes stored values, `(B, C, H, W)` float32, and normalises them itself.

    Returns:
        Logits `(B, num_classes, H, W)`; and where the network has an encoder, its last features
        averaged over the image, `(B, F)`.
    """

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = model
        mean, std = (torch.tensor(values) * model.full_scale for values in (model.mean, model.std))
        self.register_buffer("mean", mean.view(-1, 1, 1))
        self.register_buffer("std", std.view(-1, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return logits, and features where there are any."""
        normalised = (image - self.mean) / self.std  # type: ignore[operator]
        encoder = getattr(self.model, "encoder", None)
        if not isinstance(encoder, nn.Module):
            return (self.model(normalised),)
        seen: list[Tensor] = []
        handle = encoder.register_forward_hook(lambda _m, _a, out: seen.append(_last(out)))
        try:
            logits = self.model(normalised)
        finally:
            handle.remove()
        return (logits, seen[0].mean((2, 3))) if seen and seen[0].ndim == 4 else (logits,)


def _last(features: object) -> Tensor:
    """Return the deepest map of what an encoder gives: a tensor, or nested lists of them."""
    while isinstance(features, list | tuple):
        maps = [one for one in features if isinstance(one, Tensor | list | tuple)]
        features = maps[-1] if maps else torch.zeros(())
    return features if isinstance(features, Tensor) else torch.zeros(())


class _PoolByProducts(nn.Module):
    """`AdaptiveAvgPool2d` for sizes that are open: one matrix product an axis."""

    def __init__(self, bins: tuple[int | None, int | None]) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, image: Tensor) -> Tensor:
        """Return `(B, C, *bins)`."""
        rows, columns = (
            _shares(side, bins, image.dtype)
            for side, bins in zip(image.shape[2:], self.bins, strict=True)
        )
        pooled = image if rows is None else torch.einsum("bh,nchw->ncbw", rows, image)
        return pooled if columns is None else torch.einsum("bw,nchw->nchb", columns, pooled)


def _shares(side: int, bins: int | None, dtype: torch.dtype) -> Tensor | None:
    if bins is None:
        return None
    index, place = torch.arange(bins)[:, None], torch.arange(side)[None]
    start = torch.div(index * side, bins, rounding_mode="floor")
    end = -torch.div(-(index + 1) * side, bins, rounding_mode="floor")
    inside = ((place >= start) & (place < end)).to(dtype)
    return inside / inside.sum(1, keepdim=True)


def _fixed_same_padding(side: int, kernel_size: int, stride: int, dilation: int) -> int:
    """Return TensorFlow's SAME padding for every side that the stride divides: the side is not in it."""
    del side
    return max(0, (kernel_size - 1) * dilation + 1 - stride)


@contextmanager
def exportable(model: nn.Module) -> Iterator[None]:
    """Replace what exports wrongly, or not at all, for as long as the block lasts."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1))
    ]
    for parent, name, child in found:
        size = child.output_size
        setattr(parent, name, _PoolByProducts(size if isinstance(size, tuple) else (size, size)))
    # All of timm's convolutions and poolings with SAME padding ask this one function.
    former = timm_padding.get_same_padding
    timm_padding.get_same_padding = _fixed_same_padding
    try:
        yield
    finally:
        timm_padding.get_same_padding = former
        for parent, name, child in found:
            setattr(parent, name, child)


def example_sizes(model: Segmenter) -> list[tuple[int, int]]:
    """Return four sizes that the model takes, the first of them for the exporter."""
    unit = model.size_divisor * math.ceil(
        max(model.min_size / 2, _LEAST_SIDE / 3) / model.size_divisor
    )
    return [(rows * unit, columns * unit) for rows, columns in _SIDES]


def export_program(network: RawInput) -> tuple[ExportedProgram, int]:
    """Return the network as a program of torch's, open in batch, height and width.

    Returns:
        The program; and the smallest side that it takes, in pixels. That may be twice the network's own:
        a map of one pixel is a case of its own for torch, which it leaves out.

    Raises:
        ExportError: An operator or a branch of it cannot be exported; torch's words are passed on.
    """
    model = network.model
    least = max(1, math.ceil(model.min_size / model.size_divisor))
    try:
        return _export(network, least), least * model.size_divisor
    except UserError as error:
        if "satisfy the generated guard" not in str(error):
            raise ExportError(_why(model, "torch.export", error)) from error
    except Exception as error:
        raise ExportError(_why(model, "torch.export", error)) from error
    try:
        return _export(network, 2 * least), 2 * least * model.size_divisor
    except Exception as error:
        raise ExportError(_why(model, "torch.export", error)) from error


def _export(network: RawInput, least: int) -> ExportedProgram:
    """Export for sides from `least` times the divisor on."""
    model = network.model
    example = torch.rand(_EXPORT_BATCH, model.in_channels, *example_sizes(model)[0])
    sides = {
        axis: model.size_divisor * Dim(name, min=least)
        if model.size_divisor > 1
        else Dim(name, min=least)
        for axis, name in ((2, "height"), (3, "width"))
    }
    with torch.no_grad(), _quiet():
        return torch.export.export(
            network,
            (example * model.full_scale,),
            dynamic_shapes={"image": {0: Dim("batch"), **sides}},
            strict=False,
        )


def save_program(program: ExportedProgram, model: Segmenter, path: Path) -> None:
    """Write the program as torch reads it again.

    Raises:
        ExportError: An operator of it cannot be written; it is named.
    """
    try:
        with _quiet():
            torch.export.save(program, path)
    except Exception as error:
        raise ExportError(_why(model, "torch.export.save", error)) from error


def write_onnx(program: ExportedProgram, model: Segmenter, path: Path) -> None:
    """Write the program as ONNX, batch and size left open.

    Raises:
        ExportError: An operator has no counterpart in ONNX; it is named.
    """
    names = ["logits", "features"][: len(program.graph_signature.user_outputs)]
    try:
        with torch.no_grad(), _quiet():
            found = torch.onnx.export(
                program, input_names=["image"], output_names=names, dynamo=True, verbose=False
            )
        assert found is not None  # noqa: S101 - dynamo=True gives a program
        _take_shapes_late(found.model.graph)
        found.save(str(path))
    except Exception as error:
        raise ExportError(_why(model, "torch.onnx", error)) from error


def _take_shapes_late(graph: ir.Graph) -> None:
    """Take sizes after a normalisation, not before: a layer whose output is used twice cannot absorb it."""
    for node in list(graph):
        sized = node.inputs[0] if node.op_type == "Shape" else None
        for user, _ in [] if sized is None else sized.uses():
            if user.op_type == "BatchNormalization":
                node.replace_input_with(0, user.outputs[0])
    graph.sort()


@dataclass(frozen=True)
class Parity:
    """How far a graph is from its network.

    Attributes:
        largest: Largest difference of a logit over everything tried.
        scale: Largest logit.
        tried: Sizes `(B, H, W)`.
    """

    largest: float
    scale: float
    tried: list[tuple[int, int, int]]


def measure_parity(network: RawInput, path: Path) -> Parity:
    """Run graph and network at four sizes and two batches, of which the exporter saw one size.

    Where the largest of a pooling is all but tied, rounding decides where SegNet unpools it, so that the
    network in float32 and in float64 differ by as much as another network would. A graph therefore has
    to agree with either, on one random image of three: another network agrees on none.

    Raises:
        ExportError: They differ, or the graph does not take a size.
    """
    model = network.model
    session = ort.InferenceSession(str(path))
    rng = torch.Generator().manual_seed(0)
    largest = scale = 0.0
    tried = [(batch, *size) for size in example_sizes(model) for batch in _BATCHES]
    for batch, height, width in tried:
        off: list[float] = []
        while not off or off[-1] > _TOLERANCE * max(1.0, scale):
            if len(off) == _ATTEMPTS:
                raise ExportError(
                    f"the exported {model.arch} is not the network: at {batch}x{height}x{width} logits of "
                    f"up to {scale:.3g} differ by at least {min(off):.3g} on every random image"
                )
            image = torch.rand(batch, model.in_channels, height, width, generator=rng)
            image *= model.full_scale
            found = _logits(session, image, model.arch)
            with torch.inference_mode():
                wanted = network(image)[0].numpy()
            scale = max(scale, float(np.abs(wanted).max()))
            off.append(float(np.abs(found - wanted).max()))
            if off[-1] > _TOLERANCE * max(1.0, scale):
                exact = _in_float64(network, image)
                if exact is not None:
                    off[-1] = min(off[-1], float(np.abs(found - exact).max()))
        largest = max(largest, off[-1])
    return Parity(largest, scale, tried)


def _logits(session: ort.InferenceSession, image: Tensor, arch: str) -> np.ndarray:
    try:
        found: np.ndarray = session.run(["logits"], {"image": image.numpy()})[0]
    except Exception as error:
        batch, _, height, width = image.shape
        raise ExportError(
            f"the exported {arch} does not take a batch {batch}x{height}x{width}, a size that the "
            f"exporter did not see: {str(error).strip().splitlines()[-1]}"
        ) from error
    return found


def _in_float64(network: RawInput, image: Tensor) -> np.ndarray | None:
    """Return the network's logits in float64; None where its code holds float32 alone."""
    try:
        with torch.inference_mode():
            found: np.ndarray = network.double()(image.double())[0].numpy()
    except RuntimeError:
        return None
    finally:
        network.float()
    return found


def _why(model: Segmenter, tool: str, error: Exception) -> str:
    """Name the operator, which stands somewhere in pages of text."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    text = str(causes[-1]).strip() or type(causes[-1]).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = next((line for line in lines if "aten." in line or "operator" in line), lines[0])
    return f"{tool} cannot export {type(model).__name__} ({model.arch}): {telling[:400]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporters print for their own developers off the user's terminal."""
    former = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)
