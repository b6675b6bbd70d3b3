"""Agreement as plain content, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from seglab.curation.agreement.counts import Counts
from seglab.curation.agreement.gold import GoldScore
from seglab.curation.agreement.measure import Agreement
from seglab.curation.agreement.rules import class_pairs, images_by_need

_SCHEMA = 1


def content(
    counts: Counts,
    agreements: Sequence[Agreement],
    gold: Sequence[GoldScore],
    bar: float,
    level: float,
) -> dict[str, Any]:
    """Return all numbers as dicts and lists; matrices have rows = the first of a pair, or the others."""
    panel = counts.panel
    return {
        "schema": _SCHEMA,
        "level": level,
        "bar": bar,
        "class_names": list(panel.labels.class_names),
        "annotators": list(panel.annotators),
        "agreements": [asdict(one) for one in agreements],
        "confusions": [
            {"pair": list(pair), "matrix": matrix.tolist()}
            for pair, matrix in counts.confusions.items()
        ],
        "with_others": {name: one.tolist() for name, one in counts.with_others.items()},
        "class_pairs": [asdict(one) for one in class_pairs(counts)],
        "images": [asdict(one) for one in images_by_need(counts)],
        "gold": [asdict(one) | {"confusion": one.confusion.tolist()} for one in gold],
        "drawn_by_one": list(panel.single),
        "left_out": dict(panel.left_out),
    }
