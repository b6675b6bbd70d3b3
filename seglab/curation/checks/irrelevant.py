"""Images that show something else than all others: of another place, another camera, no scene at all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seglab.curation.alike.apart import irrelevant
from seglab.curation.alike.outliers import LEAST_VECTORS
from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample


@check(
    Kind(
        "irrelevant",
        "warning",
        "An encoder sees something else in the image than in the others.",
        "look",
        "encoder",
        3.0,
        "log of the distance from the bulk, in robust standard deviations above the median image; besides, "
        "groups of images that lie apart from all others",
    )
)
class IrrelevantCheck:
    """Keeps the features of an encoder, half a kilobyte to a few an image, and looks for outliers."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._embed, self._limit = inputs.embed, inputs.limits["irrelevant"]
        self._names: list[str] = []
        self._vectors: list[np.ndarray] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Keep what the encoder makes of an image."""
        if sample.image is not None and self._embed is not None:
            self._names.append(sample.sample_id)
            self._vectors.append(np.asarray(self._embed(sample.image), dtype=np.float16))
        return ()

    def close(self) -> Iterable[Finding]:
        """Report the images far from the bulk, by themselves or as a group, the farthest first."""
        if len(self._names) < LEAST_VECTORS:
            return
        scores, groups = irrelevant(np.stack(self._vectors))
        group_of = {int(place): number for number, (own, _) in enumerate(groups) for place in own}
        for place in np.argsort(-scores, kind="stable").tolist():
            score = float(scores[place])
            words = f"{score:.1f} robust standard deviations further from the bulk than usual"
            if place in group_of:
                members, apart = groups[group_of[place]]
                words = (
                    f"one of {len(members)} images that are alike, and {apart:.2f} times as far from the "
                    "others as these from each other"
                )
            elif score < self._limit:
                continue
            yield Finding("irrelevant", self._names[place], words, round(score, 4))
