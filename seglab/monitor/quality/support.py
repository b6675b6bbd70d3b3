"""Whether images lie where the reference has images: only there its calibration says something.

Measured by the encoder's features: the distance to the nearest image of the reference, over how far the
reference's own images lie from their nearest of another scene. On CamVid darkness and fog of severities 1 to
3, which the network bears, stay below 2, though the image's own statistics have drifted; noise and strong
blur, where it is wrong with confidence, lie at 2.4 to 3.5 (`scripts/bench_monitor.py`).

References:
    Sun et al. (2022), nearest neighbours tell what is outside: https://arxiv.org/abs/2204.06507
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.core.errors import ShapeError
from seglab.monitor.blocks import Streams, choose_block
from seglab.monitor.drift.distances import watched_values
from seglab.monitor.samples import Sample

# Times the usual distance between scenes of the reference.
FARTHEST = 2.0
_TIMES_NEAR = 1
_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Support:
    """Where the images of a reference lie; made by `fit`.

    Attributes:
        centre: Of each feature, `(F,)`.
        scale: Its standard deviation, `(F,)`.
        places: The reference's images, standardised, float32 `(n, F)`.
        usual: Distance of its images to their nearest of another scene, the median.
    """

    centre: np.ndarray
    scale: np.ndarray
    places: np.ndarray
    usual: float

    @classmethod
    def fit(cls, reference: Sample) -> Support | None:
        """Return the support of a reference; None where it has no features, or no two scenes."""
        if reference.features is None or len(reference.times) < 2:
            return None
        features = np.asarray(reference.features, np.float64)
        scale = features.std(0) + 0.01 * float(np.abs(features).mean())
        centre = features.mean(0)
        places = ((features - centre) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
        streams = Streams.of(reference.streams)
        _, alike = choose_block(watched_values(reference)[1], streams)
        # A few scenes that fill their streams: at least the farther half of each counts as another one.
        most = max(1, max(len(one) for one in streams.members) // 4)
        near = min(int(np.ceil(_TIMES_NEAR * alike)) if alike > 1.5 else 0, most)
        between = _distances(places, places)
        same = streams.stream_of[:, None] == streams.stream_of
        beside = np.abs(streams.place_of[:, None] - streams.place_of) <= near
        between[same & beside] = np.inf
        nearest = between.min(1)
        nearest = nearest[np.isfinite(nearest)]
        if not nearest.size or not np.median(nearest) > 0:
            return None
        return cls(centre, scale, places, float(np.median(nearest)))

    def distance(self, sample: Sample) -> np.ndarray:
        """Return how far each image lies from the nearest of the reference, 1 is usual, float64 `(n,)`."""
        features = sample.features
        if features is None or features.shape[1] != len(self.centre):
            got = "none" if features is None else str(features.shape[1])
            raise ShapeError(
                f"expected {len(self.centre)} features, as in the reference, got {got}"
            )
        found = []
        for start in range(0, len(features), _ROWS_AT_ONCE):
            part = (features[start : start + _ROWS_AT_ONCE] - self.centre) / self.scale
            found.append(_distances(part.astype(np.float32), self.places).min(1) / self.usual)
        return np.concatenate([np.empty(0), *found])


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    squared = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * (first @ second.T)
    return np.sqrt(np.maximum(squared, 0.0))
