"""A smooth surface of the score over two numbers, fitted to the trials: the ground of contour figures."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.spatial import cKDTree

from seglab.analysis.study.figures.chart import Ground
from seglab.analysis.study.marks import Floats
from seglab.analysis.study.parameters import ParamScale

_LEAST = 8
# The time of a fit grows with the cube; so many trials, drawn at random, are enough for a ground.
_MOST = 250
_SIDE = 60
# Shares of the range: further from the nearest trial than this nothing is drawn.
_NEAR = 0.16
# Bumps narrower than this are taken for noise; few trials do not tell them from it.
_NARROWEST = 0.25


def score_surface(
    scales: tuple[ParamScale, ParamScale],
    places: tuple[Floats, Floats],
    values: Floats,
    limits: tuple[float, float],
) -> Ground | None:
    """Fit a Gaussian process to trials; the parameters not shown count as noise.

    Args:
        scales: Of the two parameters.
        places: Their values, one per trial; NaN where a trial lacks one.
        values: Of the objective, one per trial.
        limits: Values beyond are taken as these, so that one disaster does not bend everything.

    Returns:
        The surface; None with a category, fewer than eight trials, or trials on one line.
    """
    known = np.flatnonzero(np.isfinite(places[0]) & np.isfinite(places[1]))
    if any(scale.kind == "category" for scale in scales) or len(known) < _LEAST:
        return None
    if len(known) > _MOST:
        known = np.random.default_rng(0).choice(known, _MOST, replace=False)
    points = np.column_stack(
        [scale.shares(place[known]) for scale, place in zip(scales, places, strict=True)]
    )
    if np.ptp(points, axis=0).min() < 0.05:
        return None
    line = np.linspace(-0.04, 1.04, _SIDE)
    score = _fit(points, np.clip(values[known], *limits), line)
    return Ground(scales[0].at(line), scales[1].at(line), score)


def _fit(points: Floats, target: Floats, line: Floats) -> Floats:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    spread = float(target.std()) or 1.0
    smooth = ConstantKernel(1.0, (0.1, 10.0)) * RBF([0.5, 0.5], (_NARROWEST, 5.0))
    process = GaussianProcessRegressor(smooth + WhiteKernel(0.1, (1e-3, 2.0)))
    with warnings.catch_warnings():
        # A parameter without effect drives its length to the bound; that is an answer, no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, (target - target.mean()) / spread)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    score = process.predict(grid) * spread + target.mean()
    distance, _ = cKDTree(points).query(grid)
    score[distance > _NEAR] = np.nan
    return np.asarray(score.reshape(len(line), len(line)), dtype=np.float64)
