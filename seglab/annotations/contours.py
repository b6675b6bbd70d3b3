"""From a label map to outlines: regions, and the arcs of boundary that two regions share.

A region is a 4-connected set of pixels of one class. Its boundary is cut where three regions or the
corners of the image meet; each piece, an arc, belongs to the regions on both sides and is simplified
once, so that neighbours still fit together afterwards.

References:
    Douglas, Peucker (1973): https://doi.org/10.3138/FM57-6770-U75U-7727
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

# Directions along the cracks between pixels: right, down, left, up, as steps of row and column.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Regions:
    """The regions of a label map.

    Attributes:
        index: Int32 `(H, W)`: number of the region, from 1; 0 where nothing is labelled.
        values: Value in the label map by number; entry 0 is not used.
        areas: Pixels of each region, its holes included.
        boxes: Rows and columns of each region; entry 0 is not used.
    """

    index: np.ndarray
    values: np.ndarray
    areas: np.ndarray
    boxes: list[tuple[slice, slice]]

    def bitmap(self, number: int) -> np.ndarray:
        """Return the pixels of a region within its box, boolean `(h, w)`."""
        return self.index[self.boxes[number]] == number


def find_regions(mask: np.ndarray, unlabelled: int) -> Regions:
    """Return the 4-connected regions of a uint8 label map `(H, W)`."""
    index = np.zeros(mask.shape, np.int32)
    values = [unlabelled]
    for value in np.unique(mask):
        if value == unlabelled:
            continue
        count, parts = cv2.connectedComponents((mask == value).astype(np.uint8), connectivity=4)
        index = np.where(parts > 0, parts + len(values) - 1, index)
        values += [int(value)] * (count - 1)
    boxes = [(slice(0), slice(0)), *ndimage.find_objects(index)]
    areas = np.zeros(len(values), np.int64)
    for number in range(1, len(values)):
        inside = index[boxes[number]] == number
        areas[number] = int(ndimage.binary_fill_holes(inside).sum())
    return Regions(index, np.array(values), areas, boxes)


@dataclass(frozen=True)
class Arc:
    """A piece of boundary, walked with `left` on its left hand.

    Attributes:
        corners: Int `(n, 2)`, x, y of pixel corners, one a step.
        left: Number of the region on the left.
        right: Number on the other side; 0: nothing labelled, or outside the image.
        closed: Whether it is a whole ring.
    """

    corners: np.ndarray
    left: int
    right: int
    closed: bool

    @property
    def key(self) -> tuple[int, ...]:
        """What tells the arc from others, the same from either side."""
        ends = (self.corners[0], self.corners[1], self.corners[-1], self.corners[-2])
        forth = [int(number) for end in ends for number in end]
        return (
            tuple(forth) if tuple(forth[:4]) <= tuple(forth[4:]) else tuple(forth[4:] + forth[:4])
        )

    @property
    def is_canonical(self) -> bool:
        """Whether it is walked in the direction that both sides agree on."""
        first = (*self.corners[0].tolist(), *self.corners[1].tolist())
        last = (*self.corners[-1].tolist(), *self.corners[-2].tolist())
        return first <= last


def trace(index: np.ndarray) -> dict[int, list[list[Arc]]]:
    """Return the rings of every region, each a list of arcs that join; outer rings and holes.

    Args:
        index: Int `(H, W)`; 0 has no rings.
    """
    rows, columns = index.shape
    padded = np.pad(index, 1)
    leaving, left_of, right_of = _cracks(padded)
    following = _following(padded, leaving)
    nodes = leaving.sum(-1) != 2
    for y, x in ((0, 0), (0, columns), (rows, 0), (rows, columns)):
        nodes[y, x] = True
    rings: dict[int, list[list[Arc]]] = {}
    wanted = leaving & (left_of > 0)
    starts = np.flatnonzero(wanted)
    seen = np.zeros(wanted.size, bool)
    lefts, rights = left_of.reshape(-1), right_of.reshape(-1)
    at_node = nodes.reshape(-1)
    follow = following.reshape(-1)
    for start in starts.tolist():
        if seen[start]:
            continue
        edges = [start]
        edge = int(follow[start])
        while edge != start:
            edges.append(edge)
            edge = int(follow[edge])
        walked = np.array(edges)
        seen[walked] = True
        arcs = list(_arcs(walked, at_node, rights, int(lefts[start]), columns + 1))
        rings.setdefault(int(lefts[start]), []).append(arcs)
    return rings


def _cracks(padded: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for every corner and direction whether a boundary leaves, and what is left and right."""
    above_left, above_right = padded[:-1, :-1], padded[:-1, 1:]
    below_left, below_right = padded[1:, :-1], padded[1:, 1:]
    left = np.stack([above_right, below_right, below_left, above_left], -1)
    right = np.stack([below_right, below_left, above_left, above_right], -1)
    return left != right, left, right


def _following(padded: np.ndarray, leaving: np.ndarray) -> np.ndarray:
    """Return the next edge of each edge: the turn that keeps the region whole but not diagonal."""
    rows, columns = leaving.shape[:2]
    following = np.zeros(leaving.shape, np.int64)
    for direction, (dy, dx) in enumerate(_STEPS):
        y, x = np.nonzero(leaving[..., direction])
        inside = (y + dy >= 0) & (y + dy < rows) & (x + dx >= 0) & (x + dx < columns)
        y, x = y[inside], x[inside]
        own = _on_left(padded, y, x, direction)
        turn, is_open = np.full(len(y), direction), np.ones(len(y), bool)
        # Left first: where a region touches itself at a corner, its ring does not cross there.
        for option in ((direction - 1) % 4, direction, (direction + 1) % 4):
            there = y + dy, x + dx, option
            fits = is_open & (_on_left(padded, *there) == own) & (_on_right(padded, *there) != own)
            turn[fits] = option
            is_open &= ~fits
        following[y, x, direction] = ((y + dy) * columns + x + dx) * 4 + turn
    return following


def _on_left(padded: np.ndarray, y: np.ndarray, x: np.ndarray, direction: int) -> np.ndarray:
    dy, dx = ((0, 1), (1, 1), (1, 0), (0, 0))[direction]
    return padded[y + dy, x + dx]


def _on_right(padded: np.ndarray, y: np.ndarray, x: np.ndarray, direction: int) -> np.ndarray:
    return _on_left(padded, y, x, (direction + 1) % 4)


def _arcs(
    edges: np.ndarray, at_node: np.ndarray, rights: np.ndarray, left: int, columns: int
) -> Iterator[Arc]:
    corners = edges // 4
    points = np.stack([corners % columns, corners // columns], 1)
    cuts = np.flatnonzero(at_node[corners])
    if not len(cuts):
        first = int(np.lexsort((points[:, 0], points[:, 1]))[0])
        points = np.roll(points, -first, axis=0)
        yield Arc(np.vstack([points, points[:1]]), left, int(rights[edges[0]]), True)
        return
    points, edges = np.roll(points, -cuts[0], axis=0), np.roll(edges, -cuts[0])
    bounds = [*(cuts - cuts[0]).tolist(), len(edges)]
    points = np.vstack([points, points[:1]])
    for start, stop in itertools.pairwise(bounds):
        yield Arc(points[start : stop + 1], left, int(rights[edges[start]]), len(bounds) == 2)


def ring_area(points: np.ndarray) -> float:
    """Return the signed area of a closed ring; outer rings of `trace` are negative."""
    x, y = points[:, 0].astype(float), points[:, 1].astype(float)
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def simplify(points: np.ndarray, tolerance: float, closed: bool) -> np.ndarray:
    """Return a line with fewer vertices, none of the old ones farther than `tolerance` from it.

    The ends stay. At tolerance 0 only vertices between two others of one line go.

    Args:
        points: `(n, 2)`; of a ring the last equals the first.
        tolerance: Pixels.
        closed: Whether it is a ring.
    """
    if len(points) <= 2:
        return points
    if tolerance <= 0:
        ahead, behind = np.diff(points[1:], axis=0), np.diff(points[:-1], axis=0)
        bends = (np.sign(ahead) != np.sign(behind)).any(1) | (
            ahead[:, 0] * behind[:, 1] != ahead[:, 1] * behind[:, 0]
        )
        return points[np.concatenate([[True], bends, [True]])]
    if not closed:
        return _peucker(points, tolerance)
    far = int(np.argmax(((points - points[0]) ** 2).sum(1)))
    halves = [points[: far + 1], points[far:]]
    while True:
        first, second = (_peucker(half, tolerance) for half in halves)
        joined = np.vstack([first, second[1:]])
        if abs(ring_area(joined[:-1])) * 2 >= abs(ring_area(points[:-1])) or tolerance < 0.1:
            return joined
        tolerance /= 2


def _peucker(points: np.ndarray, tolerance: float) -> np.ndarray:
    keep = np.zeros(len(points), bool)
    keep[[0, -1]] = True
    waiting = [(0, len(points) - 1)]
    while waiting:
        start, stop = waiting.pop()
        if stop - start < 2:
            continue
        distances = _distances(points[start + 1 : stop], points[start], points[stop])
        far = int(np.argmax(distances))
        if distances[far] > tolerance:
            middle = start + 1 + far
            keep[middle] = True
            waiting += [(start, middle), (middle, stop)]
    return points[keep]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return distances from a line between two points, of its part between them."""
    along = (end - start).astype(float)
    length = float(along @ along)
    offsets = (points - start).astype(float)
    if length == 0:
        return np.hypot(offsets[:, 0], offsets[:, 1])
    place = np.clip(offsets @ along / length, 0, 1)
    beside = offsets - place[:, None] * along
    return np.hypot(beside[:, 0], beside[:, 1])


def assemble(
    arcs: list[Arc],
    outline: Callable[[Arc], np.ndarray],
    simplified: dict[tuple[int, ...], np.ndarray],
) -> np.ndarray:
    """Join the arcs of a ring, each outlined once whichever side asks first.

    Args:
        arcs: Of one ring, in order.
        outline: Returns the vertices of an arc that is walked in its canonical direction.
        simplified: What was outlined already, by key; filled here.

    Returns:
        Vertices `(n, 2)`, the first not repeated at the end.
    """
    pieces = []
    for arc in arcs:
        key = arc.key
        straight = arc
        if not arc.is_canonical:
            straight = Arc(arc.corners[::-1], arc.right, arc.left, arc.closed)
        if key not in simplified:
            simplified[key] = outline(straight)
        pieces.append(simplified[key] if straight is arc else simplified[key][::-1])
    joined = np.vstack(pieces)
    fresh = (joined != np.roll(joined, 1, axis=0)).any(1)
    return joined[fresh] if fresh.any() else joined[:1]
