"""How odd the labels of an image are among all images and among those of its scene: what ranks images.

A model fails alike on the frames of a scene, and a wrong label stands in one of them. Two opinions are
averaged. By the first an image is as odd as its surprise is high: above the median of its scene, whatever is
confused in it. By the second it is as odd as its newest confusion: an object of one class labelled as another
that surprises more than such an object in any other frame of the scene. The first finds what is large; the
second finds something small in a scene that is hard throughout. By either, outlines that surely belong to
their neighbours count where they are more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglab.curation.alike.robust import usual
from seglab.curation.labels.confident import Confusion, LabelScore

# Spreads below are those of too few or too equal images: 10 % of surprise, 1 % of the border pixels.
_LEAST_SPREADS = 0.1, 0.01
# A median of fewer is not of the others.
_LEAST_FRAMES = 3


class ImageNumbers(NamedTuple):
    """What is kept of an image to rank it by; see `LabelScore`."""

    score: float
    outline: float
    confusions: Mapping[Confusion, float]

    @classmethod
    def of(cls, scored: LabelScore) -> ImageNumbers:
        """Return the numbers of a scored image."""
        return cls(scored.score, scored.outline, scored.confusions)


def image_scores(images: Sequence[ImageNumbers], groups: Sequence[str] | None = None) -> np.ndarray:
    """Return how odd each image is, in robust standard deviations above the usual, float64 `(N,)`.

    Args:
        images: Numbers of each. Of scores the logarithm counts.
        groups: The scene of each image, if known. One with fewer than three images is none: there the
            first opinion counts alone, by the median of all images. A mistake that is repeated does not
            stand out: by the first opinion one in most frames of a scene, by the second one in two.
    """
    if not images:
        return np.zeros(0)
    columns = {"score": [one.score for one in images], "outline": [one.outline for one in images]}
    table = pd.DataFrame(columns, dtype=np.float64)
    table["score"] = np.log1p(table["score"])
    # Without groups each image is a scene of its own.
    names = np.array(range(len(table)) if groups is None else groups, dtype=object)
    scenes = table.groupby(names)
    is_known = scenes["score"].transform("size").to_numpy() >= _LEAST_FRAMES
    middle = scenes.transform("median")
    middle.loc[~is_known] = table.median().to_numpy()
    among_scene = table - middle
    surprising = _deviations(among_scene["score"].to_numpy(), _LEAST_SPREADS[0])
    usual_outline, spread = usual(table["outline"], _LEAST_SPREADS[1])
    above = np.minimum(table["outline"] - usual_outline, among_scene["outline"])
    ragged = np.asarray(above) / spread
    first = np.maximum(surprising, ragged)
    second = first.copy()
    if is_known.any():
        newest = _newest([one.confusions for one in images], names)[is_known]
        newest = _deviations(newest, _LEAST_SPREADS[0])
        second[is_known] = np.maximum(newest, ragged[is_known])
    return np.asarray((first + second) / 2)


def _deviations(values: np.ndarray, least_spread: float) -> np.ndarray:
    middle, spread = usual(values, least_spread)
    return np.asarray((values - middle) / spread)


def _newest(confusions: Sequence[Mapping[Confusion, float]], names: np.ndarray) -> np.ndarray:
    """Return by how much, as logarithms, a confusion of each image exceeds those of its scene."""
    found = np.zeros(len(confusions))
    for places in pd.Series(range(len(names))).groupby(names).indices.values():
        frames = [
            {pair: math.log1p(value) for pair, value in confusions[place].items()}
            for place in places
        ]
        largest = dict(_two_largest(frames))
        for place, frame in zip(places, frames, strict=True):
            above = [
                value - (largest[pair][1] if value == largest[pair][0] else largest[pair][0])
                for pair, value in frame.items()
            ]
            found[place] = max([0.0, *above])
    return found


def _two_largest(
    frames: Sequence[Mapping[Confusion, float]],
) -> Iterator[tuple[Confusion, tuple[float, float]]]:
    for pair in set().union(*frames):
        values = sorted((frame.get(pair, 0.0) for frame in frames), reverse=True)
        yield pair, (values[0], values[1] if len(values) > 1 else 0.0)
