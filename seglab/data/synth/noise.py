"""Label noise: what annotators get wrong, done to a clean mask on purpose.

Four kinds, each as real annotators make it: borders drawn too wide, too tight or ragged; an object
forgotten; an object named wrongly; the whole mask off its image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from seglab.data.synth.drawing.classes import (
    BUILDING,
    LABELS,
    OBJECT_CLASSES,
    POLE,
    TERRAIN,
    VEGETATION,
    VEHICLE,
)

# Distances below are in px of a mask this high, and scale with it.
_REFERENCE_HEIGHT = 192.0
_MIN_OBJECT_PX = 40
_MAX_OBJECT_SHARE = 0.35
_MISTAKEN_FOR = {
    VEGETATION: (TERRAIN, BUILDING),
    BUILDING: (VEHICLE, TERRAIN),
    VEHICLE: (BUILDING, TERRAIN),
    POLE: (VEGETATION, BUILDING),
}

NoisyMask = tuple[np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class _Thing:
    """One connected region of an object class."""

    class_index: int
    inside: np.ndarray
    box: tuple[int, int, int, int]


def add_noise(kind: str, mask: np.ndarray, rng: np.random.Generator) -> NoisyMask | None:
    """Return a mask with one kind of label noise.

    Args:
        kind: A key of `NOISE_KINDS`.
        mask: Clean class indices uint8 `(H, W)`; not changed.
        rng: Source of randomness.

    Returns:
        The noisy mask, which differs from the clean one, and the parameters of what was done; None
        if the mask holds nothing this kind can be done to.
    """
    done = NOISE_KINDS[kind](mask, rng)
    return None if done is None or np.array_equal(done[0], mask) else done


def _scale(mask: np.ndarray) -> float:
    return mask.shape[0] / _REFERENCE_HEIGHT


def _nearest_label(mask: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every pixel the class of the nearest `source` pixel and its distance in px."""
    distance, numbers = cv2.distanceTransformWithLabels(
        np.where(source, 0, 1).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    table = np.zeros(int(numbers.max()) + 1, dtype=np.uint8)
    table[numbers[source]] = mask[source]
    return table[numbers], distance


def _boundary(mask: np.ndarray, rng: np.random.Generator) -> NoisyMask | None:
    how = str(rng.choice(["dilated", "eroded", "jagged"]))
    radius = float(rng.uniform(2.0, 5.0)) * _scale(mask)
    parameters = {"how": how, "radius_px": round(radius, 3)}
    if how == "jagged":
        return _jagged(mask, rng, radius), parameters
    objects = np.isin(mask, OBJECT_CLASSES)
    rest = ~objects & (mask != LABELS.ignore_index)
    if not objects.any() or not rest.any():
        return None
    source = objects if how == "dilated" else rest
    label, distance = _nearest_label(mask, source)
    # Eroding gives the fuzzy band around an object to the background with it.
    grows_over = ~source & (distance <= radius)
    return np.where(grows_over, label, mask), parameters


def _jagged(mask: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    height, width = mask.shape
    cell = max(3, round(6 * _scale(mask)))
    grid = (height // cell + 2, width // cell + 2)
    offsets = [
        cv2.resize(rng.uniform(-1, 1, grid).astype(np.float32), (width, height)) * radius * 1.5
        for _ in range(2)
    ]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        mask, x + offsets[0], y + offsets[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )


def _things(mask: np.ndarray) -> list[_Thing]:
    """Return all regions of object classes that are neither specks nor half of the image."""
    least = max(4.0, _MIN_OBJECT_PX * _scale(mask) ** 2)
    found = []
    for class_index in OBJECT_CLASSES:
        inside = (mask == class_index).astype(np.uint8)
        count, numbers, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
        for number in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[number])
            if least <= area <= _MAX_OBJECT_SHARE * mask.size:
                box = (left, top, left + width, top + height)
                found.append(_Thing(class_index, numbers == number, box))
    return found


def _describe(thing: _Thing) -> dict[str, Any]:
    return {
        "class": LABELS.class_names[thing.class_index],
        "box_xyxy": list(thing.box),
        "area_px": int(np.count_nonzero(thing.inside)),
    }


def _missing(mask: np.ndarray, rng: np.random.Generator) -> NoisyMask | None:
    things = _things(mask)
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    around = cv2.dilate(thing.inside.astype(np.uint8), np.ones((7, 7), dtype=np.uint8)) > 0
    # With the object goes its fuzzy border; else its outline would give it away.
    gone = thing.inside | (around & (mask == LABELS.ignore_index))
    label, _ = _nearest_label(mask, ~gone & (mask != LABELS.ignore_index))
    return np.where(gone, label, mask), _describe(thing)


def _swap(mask: np.ndarray, rng: np.random.Generator) -> NoisyMask | None:
    things = _things(mask)
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    wrong = int(rng.choice(_MISTAKEN_FOR[thing.class_index]))
    noisy = np.where(thing.inside, np.uint8(wrong), mask)
    return noisy, {**_describe(thing), "labelled_as": LABELS.class_names[wrong]}


def _shift(mask: np.ndarray, rng: np.random.Generator) -> NoisyMask | None:
    reach = float(rng.uniform(4.0, 10.0)) * _scale(mask)
    angle = float(rng.uniform(0.0, 2 * np.pi))
    down, right = round(reach * np.sin(angle)), round(reach * np.cos(angle))
    rows = np.clip(np.arange(mask.shape[0]) - down, 0, mask.shape[0] - 1)
    columns = np.clip(np.arange(mask.shape[1]) - right, 0, mask.shape[1] - 1)
    return mask[np.ix_(rows, columns)], {"down_px": int(down), "right_px": int(right)}


NOISE_KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], NoisyMask | None]] = {
    "noise_missing": _missing,
    "noise_swap": _swap,
    "noise_boundary": _boundary,
    "noise_shift": _shift,
}
