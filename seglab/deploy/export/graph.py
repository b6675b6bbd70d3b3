"""A network as a graph: torch.export, then ONNX, with batch and size left open, and proof of both.

torch.export fixes sizes it has seen where a network's code depends on them, and adaptive pooling of an
open size comes out wrong in ONNX. So pooling is replaced by matrix products, and what came out is run
at sizes that the exporter never saw.
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
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from seglab.core.errors import SeglabError
from seglab.models import Segmenter

# Sides in multiples of the divisor; only the first is what the exporter sees.
_SIDES = ((3, 4), (2, 5), (5, 3), (4, 6))
_BATCHES = (1, 3)
_EXPORT_BATCH = 2
_LEAST_SIDE = 96
_TOLERANCE, _MOST_OFF = 1e-3, 5e-3


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
            _shares(side, bins) for side, bins in zip(image.shape[2:], self.bins, strict=True)
        )
        pooled = image if rows is None else torch.einsum("bh,nchw->ncbw", rows, image)
        return pooled if columns is None else torch.einsum("bw,nchw->nchb", columns, pooled)


def _shares(side: int, bins: int | None) -> Tensor | None:
    if bins is None:
        return None
    index, place = torch.arange(bins)[:, None], torch.arange(side)[None]
    start = torch.div(index * side, bins, rounding_mode="floor")
    end = -torch.div(-(index + 1) * side, bins, rounding_mode="floor")
    inside = ((place >= start) & (place < end)).float()
    return inside / inside.sum(1, keepdim=True)


@contextmanager
def exportable(model: nn.Module) -> Iterator[None]:
    """Replace what exports wrongly for as long as the block lasts."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1))
    ]
    for parent, name, child in found:
        size = child.output_size
        setattr(parent, name, _PoolByProducts(size if isinstance(size, tuple) else (size, size)))
    try:
        yield
    finally:
        for parent, name, child in found:
            setattr(parent, name, child)


def example_sizes(model: Segmenter) -> list[tuple[int, int]]:
    """Return four sizes that the model takes, the first of them for the exporter."""
    unit = model.size_divisor * math.ceil(
        max(model.min_size / 2, _LEAST_SIDE / 3) / model.size_divisor
    )
    return [(rows * unit, columns * unit) for rows, columns in _SIDES]


def export_program(network: RawInput) -> ExportedProgram:
    """Return the network as a program of torch's, open in batch, height and width.

    Raises:
        ExportError: An operator or a branch of it cannot be exported; torch's words are passed on.
    """
    model = network.model
    height, width = example_sizes(model)[0]
    example = torch.rand(_EXPORT_BATCH, model.in_channels, height, width) * model.full_scale
    least = max(1, math.ceil(model.min_size / model.size_divisor))
    sides = {
        axis: model.size_divisor * Dim(name, min=least)
        if model.size_divisor > 1
        else Dim(name, min=least)
        for axis, name in ((2, "height"), (3, "width"))
    }
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(
                network,
                (example,),
                dynamic_shapes={"image": {0: Dim("batch"), **sides}},
                strict=False,
            )
    except Exception as error:
        raise ExportError(_why(model, "torch.export", error)) from error


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
        found.save(str(path))
    except Exception as error:
        raise ExportError(_why(model, "torch.onnx", error)) from error


@dataclass(frozen=True)
class Parity:
    """How far a graph is from its network.

    Attributes:
        largest: Largest difference of a logit over everything tried.
        scale: Largest logit.
        share_off: Share of the logits that differ by more than a thousandth of that. Not always 0:
            where the largest of a pooling is all but tied, rounding decides where SegNet unpools it,
            in torch's own float32 too.
        tried: Sizes `(B, H, W)`.
    """

    largest: float
    scale: float
    share_off: float
    tried: list[tuple[int, int, int]]


def measure_parity(network: RawInput, path: Path) -> Parity:
    """Run graph and network at four sizes and two batches, of which the exporter saw one size.

    Raises:
        ExportError: They differ by more than float32 explains, or the graph does not take a size.
    """
    model = network.model
    session = ort.InferenceSession(str(path))
    rng = torch.Generator().manual_seed(0)
    differences, largest_logits = [], []
    tried = []
    for height, width in example_sizes(model):
        for batch in _BATCHES:
            image = torch.rand(batch, model.in_channels, height, width, generator=rng)
            image *= model.full_scale
            with torch.inference_mode():
                wanted = [one.numpy() for one in network(image)]
            try:
                found = session.run(None, {"image": image.numpy()})
            except Exception as error:
                raise ExportError(
                    f"the exported {model.arch} does not take a batch {batch}x{height}x{width}, a "
                    f"size that the exporter did not see: {str(error).strip().splitlines()[-1]}"
                ) from error
            differences.append(np.abs(found[0] - wanted[0]).ravel())
            largest_logits.append(float(np.abs(wanted[0]).max()))
            tried.append((batch, height, width))
    off, scale = np.concatenate(differences), max(largest_logits)
    largest, share_off = float(off.max()), float((off > _TOLERANCE * max(1.0, scale)).mean())
    if not share_off <= _MOST_OFF:
        raise ExportError(
            f"the exported {model.arch} is not the network: logits of up to {scale:.3g} differ by "
            f"up to {largest:.3g} on random images, {share_off:.2%} of them by more than rounding"
        )
    return Parity(largest, scale, share_off, tried)


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
