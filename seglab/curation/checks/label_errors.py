"""Labels that a model which did not learn them finds wrong, the surest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from seglab.curation.findings import Finding, Kind
from seglab.curation.labels.confident import ClassThresholds, score_labels
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample, read_sample

_REGIONS_AN_IMAGE = 5


@check(
    Kind(
        "label_error",
        "warning",
        "A region looks like another class than it is labelled as.",
        "relabel",
        "predictions",
        5.0,
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
    """Confident learning in two passes over masks and predictions on disk."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._inputs = inputs
        self._thresholds = ClassThresholds(inputs.manifest.labels.num_classes)
        self._rows: list[dict[str, object]] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Take an image into the thresholds: the first pass."""
        if sample.mask is None or self._inputs.predictions is None:
            return
        probabilities = self._inputs.predictions(sample.sample_id)
        if probabilities is None:
            yield Finding("not_predicted", sample.sample_id, "no prediction was kept")
        elif probabilities.shape[1:] != sample.mask.shape:
            sizes = f"prediction {probabilities.shape[1:]}, mask {sample.mask.shape} (H, W)"
            yield Finding("not_predicted", sample.sample_id, f"sizes differ: {sizes}")
        else:
            self._thresholds.add(sample.mask, probabilities)
            self._rows.append(sample.row)

    def close(self) -> Iterable[Finding]:
        """Score every image with the thresholds of all: the second pass."""
        for _, found in sorted(self._scored(), key=lambda one: -one[0]):
            yield from found

    def _scored(self) -> Iterator[tuple[float, list[Finding]]]:
        manifest, thresholds = self._inputs.manifest, self._thresholds.values()
        names, limit = manifest.labels.class_names, self._inputs.limits["label_error"]
        for row in self._rows:
            sample_id = str(row["sample_id"])
            mask = read_sample(manifest, row, mask_only=True).mask
            probabilities = self._inputs.predictions and self._inputs.predictions(sample_id)
            if mask is None or probabilities is None:
                continue
            scored = score_labels(mask, np.asarray(probabilities), thresholds)
            found = [
                Finding(
                    "label_error",
                    sample_id,
                    f"{one.pixels} pixels of {names[one.given]} look like {names[one.suggested]}",
                    round(one.score, 4),
                    one.box,
                )
                for one in scored.regions[:_REGIONS_AN_IMAGE]
                if one.score >= limit
            ]
            yield scored.score, found
