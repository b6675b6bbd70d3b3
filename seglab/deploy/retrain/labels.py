"""New labels held against the champion, which was not trained on them: swapped classes, wrong regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from seglab.bundle.loader import Bundle
from seglab.core.text.wording import joined, plural
from seglab.curation.audit import audit
from seglab.curation.registry import AuditInputs
from seglab.curation.samples import read_sample
from seglab.data.manifest import Manifest
from seglab.deploy.retrain.options import RetrainOptions
from seglab.engine.loop.samples import spread_evenly
from seglab.metrics.confusion import mask_confusion

_MOST_IMAGES = 200
_LEAST_IMAGES = 5
_TOLD = 0.01  # share of the pixels from which on a renamed class counts
# One that takes all for one class agrees with the commonest label best, whatever that is named.
_LEAST_AGREEMENT, _LEAST_NAMES = 0.5, 2


def swapped_classes(new: Manifest, champion: Bundle, limit: float) -> list[str]:
    """Return a sentence for each batch whose classes look renamed, as after a change of a label map.

    The champion's predictions are matched one to one with the labelled classes. Where they agree on many
    more pixels when the classes change names than as they are, the names are wrong: a model that is
    merely wrong, as on images of the night, confuses classes too, but not each with one other.

    Args:
        new: Labels that the champion was not trained on.
        champion: A sound model of the same classes.
        limit: Share of the labelled pixels by which the agreement may be higher under other names.

    Returns:
        Of all labels together, else of each annotator with 5 images or more; at most 200 images.
    """
    rows = spread_evenly(list(_rows(new)), _MOST_IMAGES)
    confusions = np.stack([_confusion(new, row, champion) for row in rows]) if rows else None
    if confusions is None:
        return []
    everyone = _renamed(confusions.sum(0), champion, limit, plural(len(rows), "image"))
    if everyone:
        return [everyone]
    annotators = pd.Series([row["annotator"] for row in rows])
    return [
        text
        for name, places in annotators.groupby(annotators).groups.items()
        if len(places) >= _LEAST_IMAGES
        and (text := _renamed(confusions[places].sum(0), champion, limit, f"annotator {name}"))
    ]


def wrong_regions(new: Manifest, champion: Bundle) -> tuple[int, str]:
    """Return how many images have regions that the champion takes for another class, and a sentence."""
    paths = dict(zip(new.table["sample_id"], new.table["image"], strict=True))

    def probabilities(name: str) -> np.ndarray:
        content = Path(new.path(paths[name])).read_bytes()
        return champion.predict(champion.decode(content)).probabilities

    result = audit(AuditInputs(new, predictions=probabilities), ["label_error"])
    count, total = result.counts().get("label_error", 0), len(new.table)
    names = joined(result.table["sample_id"].drop_duplicates(), 3)
    return count, (
        f"labels: the champion takes regions of {count} of {plural(total, 'newly labelled image')} for "
        f"another class{f' ({names})' if count else ''}"
    )


def label_findings(
    options: RetrainOptions, new: Manifest, champion: Bundle
) -> tuple[list[str], list[str]]:
    """Return what stops a training on new labels, and what is to be known of them."""
    problems, notes = list[str](), [f"{plural(len(new.table), 'newly labelled image')} to train on"]
    if new.table.empty:
        return problems, notes
    if options.max_renamed is not None:
        problems += swapped_classes(new, champion, options.max_renamed)
    if options.max_label_errors is not None:
        count, text = wrong_regions(new, champion)
        if count > options.max_label_errors * len(new.table):
            problems.append(f"{text}, more than max_label_errors={options.max_label_errors:g}")
        else:
            notes.append(text)
    return problems, notes


def _rows(new: Manifest) -> Iterator[dict[str, object]]:
    for row in new.table.sort_values("sample_id").to_dict(orient="records"):
        yield {str(name): value for name, value in row.items()}


class Agreement(NamedTuple):
    """Shares of the pixels on which labels and predictions agree: as named, and under the best names."""

    now: float
    best: float
    renamed: list[str]

    def is_renamed(self, limit: float) -> bool:
        """Whether the names are wrong."""
        is_sound = self.best >= _LEAST_AGREEMENT and len(self.renamed) >= _LEAST_NAMES
        return is_sound and self.best - self.now > limit


def agreement(confusion: np.ndarray, class_names: Sequence[str]) -> Agreement:
    """Return how far predictions agree with labels, and which names would fit better."""
    total, own = max(1, int(confusion.sum())), np.arange(len(confusion))
    _, wanted = linear_sum_assignment(confusion, maximize=True)
    now, best = (float(confusion[own, names].sum()) / total for names in (own, wanted))
    renamed = [
        f"{class_names[place]} for {class_names[one]}"
        for place, one in enumerate(wanted.tolist())
        if one != place and confusion[place, one] > _TOLD * total
    ]
    return Agreement(now, best, renamed)


def _confusion(new: Manifest, row: dict[str, object], champion: Bundle) -> np.ndarray:
    classes = len(champion.class_names)
    mask = read_sample(new, row, mask_only=True).mask
    content = Path(new.path(str(row["image"]))).read_bytes()
    found = champion.predict(champion.decode(content)).mask
    if mask is None or mask.shape != found.shape:
        return np.zeros((classes, classes), np.int64)
    return mask_confusion(found, mask, classes, new.labels.ignore_index)


def _renamed(confusion: np.ndarray, champion: Bundle, limit: float, who: str) -> str | None:
    found = agreement(confusion, champion.class_names)
    if not found.is_renamed(limit):
        return None
    return (
        f"labels: classes of {who} look renamed ({joined(found.renamed)}): the champion agrees with "
        f"{found.now:.0%} of the pixels, and with {found.best:.0%} under other names "
        f"(max_renamed={limit:g})"
    )
