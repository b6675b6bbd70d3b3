"""Labels that a model which did not learn them finds wrong, the surest first."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from seglab.curation.findings import Finding, Kind
from seglab.curation.labels.ranking import LABEL_ERROR, LIMIT, LabelRanker
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample

_REGIONS_AN_IMAGE = 5


@check(
    Kind(
        LABEL_ERROR,
        "warning",
        "A region looks like another class than it is labelled as.",
        "relabel",
        "predictions",
        LIMIT,
        "surprise in nats: how much less probable the labels are than the model expects",
    ),
    Kind(
        "not_predicted",
        "note",
        "The run predicted nothing for the image, so its labels were not checked.",
        "look",
        "predictions",
    ),
)
class LabelErrorCheck:
    """Ranks all labels and reports the regions that are likely wrong."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._ranker = LabelRanker(
            inputs.manifest,
            inputs.predictions or (lambda sample_id: None),
            inputs.limits[LABEL_ERROR],
        )
        self.label_ranking: pd.DataFrame | None = None

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Learn what is usual from an image: the first pass."""
        if sample.mask is None:
            return
        why_not = self._ranker.learn(sample.row, sample.mask)
        if why_not:
            yield Finding("not_predicted", sample.sample_id, why_not)

    def close(self) -> Iterable[Finding]:
        """Rank every image by what is usual in all: the second pass."""
        self.label_ranking = self._ranker.table()
        boxes = self.label_ranking["region"].map(str)
        numbers = boxes.groupby([self.label_ranking["sample_id"], boxes]).cumcount()
        table = self.label_ranking.assign(number=numbers)
        wrong = table[table["action"] == "relabel"]
        first = wrong.groupby("sample_id", sort=False).head(_REGIONS_AN_IMAGE)
        for row in first.to_dict(orient="records"):
            words = f"{row['pixels']} pixels of {row['given']} look like {row['suggested']}"
            region, number = tuple(row["region"]), row["number"]
            yield Finding(LABEL_ERROR, row["sample_id"], words, row["score"], region, number=number)
