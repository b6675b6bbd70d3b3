"""Freezing: parameters that get no gradient, and normalisation that keeps its statistics.

Two things are easy to forget. Parameters without gradient still change when batch statistics are
updated, so a frozen module must stay in eval mode. And a parameter that no output depends on never
gets a gradient at all, which stops distributed training; such ones are found and frozen for good.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def freeze(module: nn.Module) -> None:
    """Stop gradients of all parameters and put the module into eval mode, in place.

    The caller must keep it in eval mode: `train()` of a parent switches it back
    (`Segmenter.train` does so).
    """
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.eval()


def find_unused(module: nn.Module, output: Tensor) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of `module` that `output` does not depend on, by name.

    Walks the autograd graph behind `output`; nothing is computed and no gradient is written.

    Args:
        module: The module that made `output`.
        output: Tensor of any shape with a `grad_fn`.
    """
    reached: set[int] = set()
    seen: set[torch.autograd.graph.Node] = set()
    stack = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            reached.add(id(variable))
        stack.extend(parent for parent, _ in node.next_functions)
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and id(parameter) not in reached
    }


def freeze_unused(module: nn.Module, output: Tensor) -> tuple[str, ...]:
    """Freeze the parameters that `find_unused` finds, in place, and return their names."""
    unused = find_unused(module, output)
    for parameter in unused.values():
        parameter.requires_grad_(False)
    if unused:
        logger.debug("%d parameters without use are frozen: %s", len(unused), ", ".join(unused))
    return tuple(unused)
