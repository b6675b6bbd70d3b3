"""Agreement in words and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

from seglab.core.sample_size import MIN_UNITS, TOO_FEW_IMAGES
from seglab.core.text.terminal import PlainTable, say, show
from seglab.curation.agreement.measure import Agreement, ClassAgreement
from seglab.metrics.jackknife import Estimate

_MISSING = "-"


def say_agreement(console: Console, agreement: Agreement, level: float = 0.95) -> None:
    """Print the agreement by class and what it is counted on."""
    say(console, f"{' and '.join(agreement.annotators)}: {_basis(agreement, level)}")
    table = PlainTable(
        "class",
        "Dice",
        "IoU",
        "Cohen's kappa",
        "Fleiss' kappa",
        "outlines apart, px",
        "drawn by one",
    )
    for one in (*agreement.classes, agreement.total):
        table.add_row(*_cells(one))
    show(console, table)


def _basis(agreement: Agreement, level: float) -> str:
    noun = "image" if agreement.images == 1 else "images"
    units = "groups" if agreement.grouped else "images"
    void = agreement.void / max(1, agreement.pixels + agreement.void)
    few = f" ({TOO_FEW_IMAGES}: fewer than {MIN_UNITS})" if agreement.images < MIN_UNITS else ""
    return (
        f"{agreement.images} {noun} in common, {level:.0%} intervals over {units}{few}; "
        f"{void:.2%} of the pixels are void to one of two and count nowhere"
    )


def _cells(one: ClassAgreement) -> Sequence[str]:
    if not one.drawn:
        return (one.name, *[_MISSING] * 6)
    return (
        one.name,
        *(format_estimate(value) for value in (one.dice, one.iou, one.cohen, one.fleiss)),
        format_estimate(one.distance, digits=1),
        f"{one.alone} of {one.drawn}",
    )


def format_estimate(estimate: Estimate, digits: int = 3) -> str:
    """Return `value [low, high]`; the value alone where the interval is not told."""
    if math.isnan(estimate.value):
        return _MISSING
    value = f"{estimate.value:.{digits}f}"
    if math.isnan(estimate.low):
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
