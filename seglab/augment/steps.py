"""Augmentation steps of one's own: `step(image, mask, rng) -> (image, mask)`, after ours, on one crop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.core.errors import ConfigError
from seglab.core.parts.own_parts import read_part

Image = NDArray[Any]
Step = Callable[[Image, Image, np.random.Generator], tuple[Image, Image]]


def build_steps(
    nodes: Mapping[str, Mapping[str, Any]], image: Image, ignore_index: int
) -> list[Step]:
    """Build the steps under `augment.steps` and try each on a black image without labels.

    A step may change its arguments. It draws from `rng` alone, keeps shape and type of both arrays, and
    writes `ignore_index` (given if its signature takes it) where it invents pixels.

    Args:
        nodes: Name -> `_target_` and options, in the order they are applied in.
        image: An example, `(h, w, C)` or `(h, w)`, of the type the images have.
        ignore_index: Void value of the masks.

    Raises:
        ConfigError: A step cannot be built, fails, or gives other arrays than it got.
    """
    steps = []
    mask = np.full(image.shape[:2], ignore_index, dtype=np.uint8)
    for name, node in nodes.items():
        part = read_part(f"augment.steps.{name}", "augment_step", node)
        step = part.make(ignore_index=ignore_index)
        try:
            made = step(image.copy(), mask.copy(), np.random.default_rng(0))
        except Exception as error:
            raise ConfigError(
                f"{part.key}: {part.target} fails on an image {image.shape} {image.dtype}: "
                f"{type(error).__name__}: {error}"
            ) from error
        wanted, came = _form([image, mask]), _form(made)
        if came != wanted:
            raise ConfigError(f"{part.key}: expected {part.target} to give {wanted}, got {came}")
        steps.append(step)
    return steps


def apply_steps(
    steps: Sequence[Step], image: Image, mask: Image, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Return a crop after all steps, in memory that torch can take."""
    for step in steps:
        image, mask = step(image, mask, rng)
    return (np.ascontiguousarray(image), np.ascontiguousarray(mask)) if steps else (image, mask)


def _form(made: Any) -> str:
    if not isinstance(made, tuple | list) or not all(isinstance(one, np.ndarray) for one in made):
        return f"a {type(made).__name__}"
    return " and ".join(f"{one.dtype} {one.shape}" for one in made)
