"""STAPLE: the true mask and how good each annotator is, estimated together (Warfield et al., 2004).

Each annotator has a confusion matrix, the chance of saying a class where the truth is another one;
each class has a prior, its share of all labels. Expectation maximisation alternates between the
probabilities of the truth of each pixel and the matrices. Of more than two classes as by Rohlfing et
al. (2003). Pixels do not influence their neighbours. An annotator who left a pixel void, or did not
draw the image, says nothing there.

References:
    Warfield et al. (2004): https://doi.org/10.1109/TMI.2004.828354
    Rohlfing et al. (2003): https://doi.org/10.1007/978-3-540-45087-0_18
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglab.core.errors import ShapeError
from seglab.curation.agreement.votes import Patterns, votes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Staple:
    """What was estimated of R annotators and C classes.

    Args:
        performance: `(R, C, C)`; chance that an annotator says the column where the truth is the row.
            Rows of classes that are never the truth are NaN.
        prior: `(C,)`, share of each class among all labels.
        iterations: How many there were.
        converged: Whether the last one changed no chance by more than the tolerance.
    """

    performance: Floats
    prior: Floats
    iterations: int
    converged: bool

    def posterior(self, patterns: Patterns) -> Floats:
        """Return the probabilities of the true class, `(K, C)`; 0 where nobody labelled a pixel."""
        known = np.nan_to_num(self.performance)
        with np.errstate(divide="ignore"):
            logs = np.tile(np.log(self.prior), (len(patterns), 1))
            chances = np.log(known)
        for annotator, said in enumerate(patterns.T):
            spoke = said < len(self.prior)
            logs[spoke] += chances[annotator][:, said[spoke]].T
        top = logs.max(axis=1, keepdims=True)
        weights = np.exp(logs - np.where(np.isfinite(top), top, 0.0))
        weights[(patterns >= len(self.prior)).all(axis=1)] = 0.0
        total = weights.sum(axis=1, keepdims=True)
        return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def fit_staple(
    patterns: Patterns,
    counts: npt.ArrayLike,
    num_classes: int,
    tolerance: float = 1e-6,
    max_iterations: int = 500,
) -> Staple:
    """Estimate truth and annotators.

    It starts from the shares of votes.

    Args:
        patterns: What R annotators said, uint8 `(K, R)`; values of `num_classes` and more: nothing.
        counts: How many pixels have each pattern, `(K,)`.
        num_classes: Number of classes C.
        tolerance: Change of a chance at which it ends.
        max_iterations: Where it ends in any case.

    Raises:
        ShapeError: No pixel has a label.
    """
    weights = np.asarray(counts, dtype=np.float64)
    said = votes(patterns, num_classes).astype(np.float64)
    labelled = said.sum(axis=1, keepdims=True)
    if not (labelled[:, 0] * weights).any():
        raise ShapeError("expected at least one labelled pixel, got none")
    prior = (said * weights[:, None]).sum(0)
    truth = np.divide(said, labelled, out=np.zeros_like(said), where=labelled > 0)
    fitted = Staple(_performance(patterns, weights, truth), prior / prior.sum(), 0, False)
    for iteration in range(1, max_iterations + 1):
        performance = _performance(patterns, weights, fitted.posterior(patterns))
        change = np.nan_to_num(np.abs(performance - fitted.performance)).max()
        fitted = Staple(performance, fitted.prior, iteration, bool(change <= tolerance))
        if fitted.converged:
            break
    return fitted


def _performance(patterns: Patterns, weights: Floats, truth: Floats) -> Floats:
    num_classes = truth.shape[1]
    weighted = truth * weights[:, None]
    performance = np.zeros((patterns.shape[1], num_classes, num_classes))
    for annotator, said in enumerate(patterns.T):
        spoke = said < num_classes
        np.add.at(performance[annotator].T, said[spoke], weighted[spoke])
    total = performance.sum(axis=2, keepdims=True)
    return np.divide(performance, total, out=np.full_like(performance, np.nan), where=total > 0)
