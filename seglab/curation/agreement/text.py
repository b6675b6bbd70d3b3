"""Agreement in words and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from seglab.core.sample_size import MIN_UNITS, TOO_FEW_IMAGES
from seglab.core.text.terminal import PlainTable, say, show
from seglab.curation.agreement.consensus import Consensus
from seglab.curation.agreement.counts import Counts
from seglab.curation.agreement.gold import GoldScore
from seglab.curation.agreement.measure import Agreement, ClassAgreement
from seglab.curation.agreement.rules import class_pairs, classes_by_need, images_by_need
from seglab.metrics.jackknife import Estimate

_MISSING = "-"
_LISTED = 10


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
    if agreement.few_groups:
        few += f" ({_narrow(agreement.few_groups)})"
    return (
        f"{agreement.images} {noun} in common, {level:.0%} intervals over {units}{few}; "
        f"{void:.2%} of the pixels are void to one of two and count nowhere"
    )


def _narrow(groups: int) -> str:
    return f"which are of {groups} group{'s' * (groups > 1)}, so perhaps too narrow"


def _cells(one: ClassAgreement) -> Sequence[str]:
    if not one.drawn:
        return (one.name, *[_MISSING] * 6)
    return (
        one.name,
        *(format_estimate(value) for value in (one.dice, one.iou, one.cohen, one.fleiss)),
        format_estimate(one.distance, digits=1),
        f"{one.alone} of {one.drawn}",
    )


def say_needs(console: Console, counts: Counts, agreement: Agreement, bar: float) -> None:
    """Print which classes, pairs of classes and images need a rule, the worst first."""
    table = PlainTable("class", "Dice", f"agreed on (Dice >= {bar:g})")
    words = {"pass": "yes", "fail": "no: needs a rule", "cannot tell": "cannot tell"}
    for name, dice, reached in classes_by_need(agreement, bar):
        table.add_row(name, format_estimate(dice), words[reached])
    show(console, table)
    pairs = class_pairs(counts)
    if pairs:
        table = PlainTable("taken for each other", "pixels", "of all that differ", "images")
        for one in pairs[:_LISTED]:
            names = f"{one.first} / {one.second}"
            table.add_row(names, f"{one.pixels}", f"{one.share:.1%}", f"{one.images}")
        show(console, table)
    images = images_by_need(counts)
    if images:
        table = PlainTable("image", "Dice", "between", "mostly", "pixels")
        for need in images[:_LISTED]:
            between, mostly = " and ".join(need.pair), " / ".join(need.mistaken or ())
            table.add_row(need.sample_id, f"{need.dice:.3f}", between, mostly, f"{need.pixels}")
        show(console, table)
        if len(images) > _LISTED:
            say(console, f"... and {len(images) - _LISTED} more images on which they differ")


def say_confusions(console: Console, counts: Counts) -> None:
    """Print what each annotator draws where all others say otherwise, the worst classes first."""
    names = counts.panel.labels.class_names
    table = PlainTable("annotator", "as the others", "where they say", "draws", "of those pixels")
    for annotator, matrix in sorted(counts.with_others.items()):
        total, right = int(matrix.sum()), int(matrix.trace())
        row_sums = matrix.sum(1, keepdims=True)
        share = np.divide(matrix, row_sums, out=np.zeros(matrix.shape), where=row_sums > 0)
        np.fill_diagonal(share, 0.0)
        most = [divmod(int(cell), len(names)) for cell in np.argsort(-share, axis=None)[:3]]
        for line, (said, drawn) in enumerate(cell for cell in most if share[cell] > 0):
            first = (annotator, f"{right / total:.2%}") if line == 0 else ("", "")
            table.add_row(*first, names[said], names[drawn], f"{share[said, drawn]:.2%}")
        if not share.any() and total:
            table.add_row(annotator, f"{right / total:.2%}", _MISSING, _MISSING, _MISSING)
    show(console, table)


def say_gold(console: Console, scores: Sequence[GoldScore], bar: float, level: float) -> None:
    """Print how annotators do on images with a known mask."""
    table = PlainTable(
        "annotator", "known images", "Dice", "mIoU", "worst class, IoU", f"Dice >= {bar:g}"
    )
    for one in scores:
        worst = min(
            (pair for pair in enumerate(one.iou) if not math.isnan(pair[1].value)),
            key=lambda pair: pair[1].value,
        )
        table.add_row(
            one.annotator,
            f"{one.images}",
            format_estimate(one.dice),
            format_estimate(one.miou),
            f"{one.class_names[worst[0]]} {worst[1].value:.3f}",
            one.verdict,
        )
    show(console, table)
    few = max(one.few_groups for one in scores)
    note = f"; intervals are over images, {_narrow(few)}" if few else ""
    say(
        console,
        f"pass or fail where the whole {level:.0%} interval is on one side of the bar{note}",
    )


def say_consensus(console: Console, consensus: Consensus, out: object) -> None:
    """Print what was written, and how good STAPLE takes the annotators to be."""
    manifest, staple = consensus.manifest, consensus.staple
    say(
        console,
        f"{out}: consensus of {len(manifest.table)} images; {consensus.undecided:.2%} of the "
        f"pixels undecided (void); fingerprint {manifest.fingerprint}",
    )
    if staple is not None:
        names = manifest.labels.class_names
        table = PlainTable("annotator", *names, title="chance of drawing a class where it is")
        annotators = manifest.provenance["consensus"]["annotators"]
        for name, chances in zip(annotators, staple.performance, strict=True):
            table.add_row(name, *(_share(value) for value in chances.diagonal()))
        show(console, table)
    if consensus.not_converged:
        say(console, f"STAPLE did not come to rest on: {', '.join(consensus.not_converged)}")


def _share(value: float) -> str:
    return _MISSING if math.isnan(value) else f"{value:.3f}"


def format_estimate(estimate: Estimate, digits: int = 3) -> str:
    """Return `value [low, high]`; the value alone where the interval is not told."""
    if math.isnan(estimate.value):
        return _MISSING
    value = f"{estimate.value:.{digits}f}"
    if math.isnan(estimate.low):
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
