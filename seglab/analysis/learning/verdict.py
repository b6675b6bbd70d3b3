"""Does a run underfit or overfit? One verdict, with what losses and scores say of it in one sentence.

The two can differ, and both are true then: weights of an early epoch may do as well on new images as
on those of the training though the validation loss rose later, and a gap between the scores may be
there while both losses still fall. Scores decide on overfitting where their interval is clear, for
they are of the weights that are kept; losses decide the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from seglab.analysis.learning.gap import GapVerdict
from seglab.analysis.learning.loss_trend import Kind, LossTrend, VerdictRules, loss_trend

_MORE_DATA = "Augment more, regularise, or add data."
_OVERCONFIDENT = (
    "The weights kept are no worse on new images, though later ones are too sure of themselves: smooth the "
    "labels, or train less."
)


@dataclass(frozen=True)
class Verdict:
    """How a run fits.

    Attributes:
        kind: underfit, fine, overfit or too short to tell.
        since_epoch: The epoch from which the validation loss rose while that of the training did
            not; None where it did not.
        gap: Validation loss minus training loss at the end, smoothed; NaN where one is missing.
        sentence: The verdict, its numbers of scores and losses, and what to try.
    """

    kind: Kind
    since_epoch: int | None
    gap: float
    sentence: str


def fit_verdict(
    history: pd.DataFrame, rules: VerdictRules | None = None, scores: GapVerdict | None = None
) -> Verdict:
    """Judge the fit of one run.

    Args:
        history: Columns epoch, train/loss, val/loss and, if there, val/miou_present or else val/miou;
            rows in any order. Epochs without validation are NaN and left out; of a repeated epoch the
            last row counts.
        rules: Thresholds for the losses.
        scores: Training against validation images, from `gap_verdict`; None: the losses decide alone.

    Returns:
        The verdict. Missing columns or too few epochs are no error: the scores decide, or it is too
        short to tell.
    """
    losses = loss_trend(history, rules)
    kind, by_scores = losses.kind, scores.kind if scores else "not measured"
    if by_scores == "overfit":
        kind = "overfit"
    elif by_scores == "no overfit" and kind == "overfit":
        kind = "fine"
    parts = [losses.evidence if scores is None else _both(losses, scores, kind)]
    parts = [f"{_head(kind, losses)}: {parts[0]}.", _advice(losses, kind)]
    parts.append(scores.remarks if scores else "")
    return Verdict(kind, losses.since_epoch, losses.gap, " ".join(filter(None, parts)))


def _head(kind: Kind, losses: LossTrend) -> str:
    since = f" since epoch {losses.since_epoch}" if losses.kind == kind == "overfit" else ""
    return f"{kind.capitalize()}{since}"


def _both(losses: LossTrend, scores: GapVerdict, kind: Kind) -> str:
    """Return the evidence of both, what decided first."""
    unclear = scores.kind in ("cannot tell", "not measured")
    if losses.kind in (kind, "too short to tell"):
        joint = "; "
    else:
        joint = ", though "
    said = [scores.evidence, losses.evidence]
    return joint.join(reversed(said) if unclear else said)


def _advice(losses: LossTrend, kind: Kind) -> str:
    if kind == losses.kind:
        return losses.advice
    return _MORE_DATA if kind == "overfit" else _OVERCONFIDENT
