"""Faults of each kind that can be planted into a picture or a mask, as cameras and annotators make them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Picture = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def blank(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One colour with the faint noise of a sensor behind its cap."""
    colour = rng.integers(0, 256, 3)
    return _bytes(colour + rng.normal(0, 1, image.shape))


def dark(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposed far too short: an eighth to a fifth of the light, and noise."""
    return _bytes(image * rng.uniform(0.12, 0.2) + rng.normal(0, 1.5, image.shape))


def over_exposed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposed too long: the light is lifted until nothing dark is left."""
    return _bytes(image * rng.uniform(0.15, 0.4) + rng.uniform(195, 205))


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or moved during exposure."""
    side = max(image.shape)
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), side * float(rng.uniform(0.012, 0.03)))
    length = int(side * rng.uniform(0.06, 0.12)) | 1
    return cv2.GaussianBlur(cv2.blur(image, (length, 3)), (0, 0), side * 0.006)


QUALITY: dict[str, Picture] = {
    "blank": blank,
    "dark": dark,
    "over_exposed": over_exposed,
    "blurred": blurred,
}


def empty_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing but one class, or nothing but ignored pixels."""
    return np.full_like(mask, rng.choice([0, 255]))


def specks(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slips of the pen: regions of one to four pixels of a class that is not around, at an edge of two."""
    return _dots(mask, rng, at_edge=True)


def holes(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaps that a brush left within a region."""
    return _dots(mask, rng, at_edge=False)


def shifted_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole mask off its image by 2 to 4 % of the longer side."""
    reach, angle = rng.uniform(0.02, 0.04) * max(mask.shape), rng.uniform(0, 2 * np.pi)
    rows = np.arange(mask.shape[0]) - round(reach * np.sin(angle))
    columns = np.arange(mask.shape[1]) - round(reach * np.cos(angle))
    inside = np.clip(rows, 0, mask.shape[0] - 1), np.clip(columns, 0, mask.shape[1] - 1)
    return mask[np.ix_(*inside)]


def odd_shares(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The class that covers most of the mask exchanged with one that covers little of it."""
    classes, counts = np.unique(mask[mask < 255], return_counts=True)
    order = classes[np.argsort(-counts)]
    one, other = order[0], order[-1 - int(rng.integers(0, max(1, len(order) // 3)))]
    swapped = np.arange(256, dtype=np.uint8)
    swapped[[one, other]] = other, one
    return swapped[mask]


def without_specks(mask: np.ndarray, most: int = 4) -> np.ndarray:
    """Return a mask whose regions of a few pixels are filled from around, so that all specks are planted."""
    gone = np.zeros(mask.shape, bool)
    for index in np.unique(mask):
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(
            (mask == index).astype(np.uint8), connectivity=8
        )
        gone |= ((stats[:, cv2.CC_STAT_AREA] <= most)[numbers]) & (mask == index)
    source = ndimage.distance_transform_edt(gone, return_distances=False, return_indices=True)
    return mask[tuple(source)]


def merged(image: np.ndarray, mask: np.ndarray, alone: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its mask at 240 x 180 with few classes: some `alone`, and all others together.

    Void stays.
    """
    classes = np.full(256, len(alone), np.uint8)
    classes[alone], classes[255] = np.arange(len(alone)), 255
    small = cv2.resize(image, (240, 180), interpolation=cv2.INTER_AREA)
    return small, classes[cv2.resize(mask, (240, 180), interpolation=cv2.INTER_NEAREST)]


MASKS: dict[str, Picture] = {
    "empty_mask": empty_mask,
    "specks": specks,
    "holes": holes,
    "shifted_mask": shifted_mask,
    "odd_shares": odd_shares,
}


def text_page(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A page of words: a screenshot or scan among photographs."""
    page = Image.new("RGB", (256, 192), tuple(int(v) for v in rng.integers(215, 256, 3)))
    pen, line = ImageDraw.Draw(page), 8
    while line < 184:
        words = "".join(rng.choice(list("abcdefghij klmnop qrstuv  "), int(rng.integers(10, 40))))
        ink = tuple(int(v) for v in rng.integers(0, 90, 3))
        pen.text((8 + int(rng.integers(0, 8)), line), words, fill=ink)
        line += int(rng.integers(10, 18))
    return np.array(page)


def noise(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a broken file or sensor, fine or coarse."""
    grain = rng.integers(0, 256, (192, 256, 3), dtype=np.uint8)
    return cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.1, 3.0)))


def _dots(mask: np.ndarray, rng: np.random.Generator, at_edge: bool) -> np.ndarray:
    """Return a mask with 8 to 20 dots of up to 2 x 2 pixels, apart from each other."""
    kernel = np.ones((5, 5), np.uint8)
    is_edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0
    edge = is_edge & (cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel[:3, :3]) > 0)
    free = edge if at_edge else ~is_edge
    free[:4], free[-4:], free[:, :4], free[:, -4:] = False, False, False, False
    done, wanted = mask.copy(), int(rng.integers(8, 21))
    classes = np.unique(mask[mask < 255])
    for _ in range(wanted):
        places = np.argwhere(free)
        if not len(places):
            break
        row, column = places[rng.integers(len(places))]
        near = mask[row - 2 : row + 4, column - 2 : column + 4]
        others = np.setdiff1d(classes, near)
        if len(others):
            high, wide = rng.integers(1, 3, 2)
            done[row : row + high, column : column + wide] = rng.choice(others)
        free[row - 4 : row + 6, column - 4 : column + 6] = False
    return done


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
