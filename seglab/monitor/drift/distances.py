"""How far a window of images lies from the reference, in each statistic and in all at once.

A single statistic: Wasserstein's distance of the two distributions, in standard deviations of the
reference. Unlike Kolmogorov and Smirnov's it goes on growing when a window has left the range of the
reference, so a camera in fog stands out from a camera in another street. All at once: the kernel
distance of the distributions (maximum mean discrepancy) over the encoder's features and the
statistics, with the median distance as the kernel's width, from random Fourier features.

Both are made of sums over the images, so a window that moves on costs a sum.

References:
    Ramdas et al. (2017), Wasserstein's distance as a two-sample test: https://doi.org/10.3390/e19020047
    Gretton et al. (2012), the kernel two-sample test: https://jmlr.org/papers/v13/gretton12a.html
    Rahimi and Recht (2007), random features:
        https://papers.nips.cc/paper/3182-random-features-for-large-scale-kernel-machines
    Rabanser et al. (2019), which test finds which shift: https://arxiv.org/abs/1810.11953
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seglab.core.errors import ShapeError
from seglab.core.seeding import generator
from seglab.monitor.samples import Sample

MULTIVARIATE = "all together"
# `predicted_mean` says what `class_shares` says; the confusions serve quality.
_WATCHED = "channel_mean channel_std size sharpness confidence entropy class_shares".split()
# Shares, confidence and entropy within 0..1: a smaller spread than this is no measure of anything.
_LEAST_SPREAD = {"confidence": 0.01, "entropy": 0.01, "class_shares": 0.01, "sharpness": 0.01}
_INNER, _OUTER = 16, 8
_FREQUENCIES = 64
_COMPONENTS, _IMAGES_PER_COMPONENT = 16, 10
_EXPLAINED = 0.95


def watched_values(sample: Sample) -> tuple[list[str], np.ndarray]:
    """Return names and values of the single numbers of each image, such as `class_shares[3]`.

    Returns:
        S names, and float64 `(n, S)`.
    """
    names, columns = [], []
    for name in _WATCHED:
        if name not in sample.statistics:
            continue
        values = np.asarray(sample.statistics[name], np.float64)
        if values.ndim == 1:
            names.append(name)
            columns.append(values[:, None])
        else:
            names += [f"{name}[{place}]" for place in range(values.shape[1])]
            columns.append(values)
    if not columns:
        raise ShapeError(f"expected statistics such as {', '.join(_WATCHED)}, got none of them")
    return names, np.concatenate(columns, axis=1)


class Encoded(NamedTuple):
    """Images as what the distances are summed from."""

    codes: np.ndarray
    """Interval of each statistic that the image lies in, uint8 `(n, S)`."""
    waves: np.ndarray
    """Random features, float32 `(n, 2 * frequencies)`."""


class Tally(NamedTuple):
    """Sums over images."""

    counts: np.ndarray
    """How many lie in each interval of each statistic, float32 `(..., S, G)`."""
    waves: np.ndarray
    """Sum of the random features, float32 `(..., 2 * frequencies)`."""


@dataclass(frozen=True)
class Distances:
    """Measures windows against a reference; made by `fit`.

    Attributes:
        names: Of the statistics; the last is of all together.
        edges: Ends of the intervals of each statistic, `(S, G - 1)`, rising.
        widths: Between neighbouring edges, in standard deviations, `(S, G - 2)`.
        centre: Of the statistics and features, `(M,)`.
        scale: Standard deviation of each, `(M,)`.
        axes: Principal axes, `(M, components)`.
        frequencies: Of the random features, `(components, frequencies)`.
    """

    names: tuple[str, ...]
    edges: np.ndarray
    widths: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    frequencies: np.ndarray

    @classmethod
    def fit(cls, reference: Sample, seed: int = 0) -> Distances:
        """Lay the intervals and the kernel around a reference.

        Args:
            reference: Of n images.
            seed: Of the random features.
        """
        names, values = watched_values(reference)
        least = np.array([_LEAST_SPREAD.get(name.partition("[")[0], 0.0) for name in names])
        scale = np.maximum.reduce([values.std(0), least, 0.01 * np.abs(values.mean(0))])
        scale[scale == 0] = 1.0
        edges = _edges(values, scale)
        joint = _joint(values, reference.features)
        spread = joint.std(0)
        spread[: len(names)] = scale
        spread[spread == 0] = 1.0
        centre = joint.mean(0)
        standard = (joint - centre) / spread
        axes = _axes(standard)
        return cls(
            (*names, MULTIVARIATE),
            edges,
            np.diff(edges, axis=1) / scale[:, None],
            centre,
            spread,
            axes,
            _frequencies(standard @ axes, seed),
        )

    def coordinates(self, sample: Sample) -> np.ndarray:
        """Return where the images lie along the principal axes, float64 `(n, components)`."""
        return ((self._checked(sample)[1] - self.centre) / self.scale) @ self.axes

    def encode(self, sample: Sample) -> Encoded:
        """Return images as what is summed."""
        values, joint = self._checked(sample)
        codes = np.empty(values.shape, np.uint8)
        for place, edges in enumerate(self.edges):
            codes[:, place] = np.searchsorted(edges, values[:, place])
        phases = (((joint - self.centre) / self.scale) @ self.axes) @ self.frequencies
        waves = np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)
        return Encoded(codes, waves)

    def tally(self, images: Encoded, step: int) -> Tally:
        """Return sums over each `step` images in a row; images beyond the last whole step are left out."""
        steps, statistics = len(images.codes) // step, images.codes.shape[1]
        intervals = self.edges.shape[1] + 1
        codes = images.codes[: steps * step].astype(np.int64)
        codes += np.arange(statistics) * intervals
        codes += (np.arange(steps * step) // step * (statistics * intervals))[:, None]
        counts = np.bincount(codes.reshape(-1), minlength=steps * statistics * intervals)
        waves = images.waves[: steps * step].reshape(steps, step, -1).sum(1)
        return Tally(counts.reshape(steps, statistics, intervals).astype(np.float32), waves)

    def between(self, windows: Tally, reference: Tally) -> np.ndarray:
        """Return how far windows lie from a reference, float64 `(..., S + 1)`, at least 0."""
        shares = [
            np.cumsum(one.counts, -1)[..., :-1] / one.counts[..., :1, :].sum(-1, keepdims=True)
            for one in (windows, reference)
        ]
        apart = np.abs(shares[0] - shares[1])
        # Within an interval the share goes from one edge's to the next one's.
        single = ((apart[..., :-1] + apart[..., 1:]) / 2 * self.widths).sum(-1)
        means = [
            one.waves / one.counts[..., 0, :].sum(-1, keepdims=True) for one in (windows, reference)
        ]
        squared = ((means[0] - means[1]) ** 2).sum(-1, keepdims=True) / self.frequencies.shape[1]
        return np.concatenate([single, np.sqrt(squared)], axis=-1, dtype=np.float64)

    def _checked(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        names, values = watched_values(sample)
        if tuple(names) != self.names[:-1]:
            raise ShapeError(
                f"expected the statistics of the reference, {', '.join(self.names[:-1])}; got "
                f"{', '.join(names)}: images and reference are of different bundles"
            )
        joint = _joint(values, sample.features if len(self.centre) > len(names) else None)
        if joint.shape[1] != len(self.centre):
            raise ShapeError(
                f"expected {len(self.centre) - len(names)} features, as in the reference, got "
                f"{joint.shape[1] - len(names)}: images and reference are of different bundles"
            )
        return values, joint


def moving_windows(steps: Tally, length: int) -> Tally:
    """Return sums over each `length` steps in a row: window k begins at step k."""
    return Tally(*(moving_sum(one, length) for one in steps))


def moving_sum(values: np.ndarray, length: int) -> np.ndarray:
    """Return sums over each `length` rows in a row, float64."""
    total = np.cumsum(values, axis=0, dtype=np.float64)
    total[length:] -= total[:-length].copy()
    return total[length - 1 :]


def _joint(values: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    return values if features is None else np.concatenate([values, features], axis=1)


def _edges(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return edges at quantiles of the reference, and evenly beyond its range to three times its width."""
    inner = np.quantile(values, np.linspace(0, 1, _INNER + 1), axis=0)
    width = np.maximum(inner[-1] - inner[0], 4 * scale)
    beyond = np.linspace(0, 1.5, _OUTER + 1)[1:, None] * width
    rising = np.concatenate([(inner[0] - beyond)[::-1], inner, inner[-1] + beyond])
    return np.ascontiguousarray(rising.T)


def _axes(standard: np.ndarray) -> np.ndarray:
    """Return the principal axes: no more than the images can tell, and no more than are needed."""
    _, sizes, axes = np.linalg.svd(standard, full_matrices=False)
    shares = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-300)
    needed = int(np.searchsorted(shares, _EXPLAINED)) + 1
    told = max(2, len(standard) // _IMAGES_PER_COMPONENT)
    return np.ascontiguousarray(axes[: min(needed, told, _COMPONENTS)].T)


def _frequencies(places: np.ndarray, seed: int) -> np.ndarray:
    """Return frequencies of the Gaussian kernel whose width is the median distance."""
    rng = generator(seed, "drift kernel")
    first, second = rng.integers(len(places), size=(2, 4096))
    apart = np.linalg.norm(places[first] - places[second], axis=1)
    width = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    return rng.standard_normal((places.shape[1], _FREQUENCIES)) / width
