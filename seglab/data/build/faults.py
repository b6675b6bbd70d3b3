"""What is wrong with a whole data set, told in one message."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from seglab.core.errors import DataError, DataNotFoundError, list_problems
from seglab.core.text.option_words import option_name
from seglab.data.bands.decode import BandLayout
from seglab.data.build.inspection import (
    BAND_MISMATCH,
    BROKEN_ANNOTATION,
    EXIF_AMBIGUOUS,
    MISSING_IMAGE,
    MISSING_MASK,
    UNKNOWN_LABELS,
    Inspected,
)
from seglab.data.build.samples import ALL_LISTED

log = logging.getLogger(__name__)

_FEW = 5


def require_one_layout(inspected: list[Inspected]) -> tuple[list[Inspected], BandLayout | None]:
    """Return the samples, those of other bands than most marked as faulty, and what most hold."""
    layouts = Counter(one.layout for one in inspected if one.row["height"])
    if not layouts:
        return inspected, None
    usual = layouts.most_common(1)[0][0]
    checked = []
    for one in inspected:
        if one.row["height"] and one.layout != usual:
            text = f"{one.row['image']}: {_in_words(one.layout)}, most images {_in_words(usual)}"
            row = {**one.row, "flags": [*one.row["flags"], BAND_MISMATCH], "keep": False}
            one = Inspected(row, (*one.faults, (BAND_MISMATCH, text)), one.layout)
        checked.append(one)
    return checked, usual


def _in_words(layout: BandLayout | None) -> str:
    return "RGB or grey" if layout is None else str(layout)


def warn_ambiguous(inspected: Sequence[Inspected], name: str) -> None:
    """Log which samples are turned differently by EXIF with sizes that do not tell what is right."""
    found = [one.row["sample_id"] for one in inspected if EXIF_AMBIGUOUS in one.row["flags"]]
    if found:
        title = (
            f"data set {name!r}: EXIF turns image and mask of {len(found)} samples differently, "
            f"and their sizes do not tell what is right; look at them (flag {EXIF_AMBIGUOUS})"
        )
        log.warning("%s", list_problems(title, found))


def handle_faults(
    inspected: Sequence[Inspected], lost: Mapping[str, str], name: str, on_error: str
) -> dict[str, str]:
    """Raise or log what is wrong; return the reason by sample_id, or by file where there is no sample."""
    faulty = [one for one in inspected if one.faults]
    if not faulty and not lost:
        return {}
    kinds = Counter(kind for one in faulty for kind, _ in one.faults)
    kinds.update({BROKEN_ANNOTATION: len(lost)} if lost else {})
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    title = f"data set {name!r}: {len(faulty)} of {len(inspected)} samples are faulty ({counts})"
    texts = [f"{one.row['sample_id']}: {text}" for one in faulty for _, text in one.faults]
    texts += lost.values()
    if on_error == "quarantine" and len(faulty) < len(inspected):
        log.warning("%s", list_problems(f"{title}; kept out of every split", texts, ALL_LISTED))
        reasons = {
            one.row["sample_id"]: "; ".join(text for _, text in one.faults) for one in faulty
        }
        return {**reasons, **lost}
    texts = [*_unknown_as_one(faulty), *lost.values()]
    remedy = (
        "mend the files, or keep them out of every split with on_error=quarantine (`seglab data import "
        "--on-error quarantine`)"
    )
    if len(faulty) == len(inspected):
        remedy = "no sample is left; check the root, the label space and the importer's options"
    if UNKNOWN_LABELS in kinds:
        remedy += f"; {option_name('raw_ids')} of `folder` gives unknown values a meaning: a class, or ignore"
    message = f"{list_problems(title, texts, ALL_LISTED)}\n{remedy}"
    if kinds.keys() <= {MISSING_IMAGE, MISSING_MASK}:
        raise DataNotFoundError(message)
    raise DataError(message)


def _unknown_as_one(faulty: Sequence[Inspected]) -> list[str]:
    """Return a line a fault, but one for all of many masks with unknown values: the options are wrong."""
    told = [
        (kind, f"{one.row['sample_id']}: {text}") for one in faulty for kind, text in one.faults
    ]
    unknown = [text for kind, text in told if kind == UNKNOWN_LABELS]
    if len(unknown) <= _FEW:
        return [text for _, text in told]
    # The longest names the most values.
    whole = (
        f"{len(unknown)} masks hold values that are not known, for example {max(unknown, key=len)}"
    )
    return [whole, *(text for kind, text in told if kind != UNKNOWN_LABELS)]
