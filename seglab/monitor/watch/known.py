"""What a bundle says of itself, and what is worked out from it once: usual images, thresholds, quality."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from seglab.bundle.loader import BundleError, read_files
from seglab.core.errors import DataError, SeglabError
from seglab.monitor.drift.detector import DriftDetector
from seglab.monitor.drift.options import DriftOptions
from seglab.monitor.quality.estimate import QualityReference
from seglab.monitor.quality.scores import scores_of
from seglab.monitor.samples import Sample, reference_sample


@dataclass(frozen=True)
class Known:
    """A bundle, as far as the watch needs it; the network is not loaded.

    Attributes:
        place: Where it is.
        bundle: Its id.
        class_names: In order.
        reference: What is usual.
        detector: The watch for drift; None: `notes` say why not.
        quality: For estimates; None: the reference has no labels.
        miou: Of the bundle on its reference; NaN without labels.
        notes: What cannot be watched.
    """

    place: Path
    bundle: str
    class_names: list[str]
    reference: Sample
    detector: DriftDetector | None
    quality: QualityReference | None
    miou: float
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, options: DriftOptions) -> Known:
        """Read a bundle's reference, and set the threshold of drift: this takes seconds.

        Raises:
            DataError: It is no bundle, or has no reference.
        """
        try:
            files = read_files(path)
        except (BundleError, OSError) as error:
            raise DataError(str(error)) from error
        info = json.loads(files["bundle.json"])
        reference = reference_sample(path)
        detector, notes = None, list[str]()
        try:
            detector = DriftDetector.fit(reference, options)
            notes += detector.notes
        except SeglabError as error:
            notes.append(f"drift is not watched: {error}")
        quality = QualityReference.fit(reference)
        if quality is None:
            notes.append(
                "quality is not estimated: the bundle's reference has no labels; export it again"
            )
        miou = float("nan") if quality is None else scores_of(quality.true.sum(0)).miou
        names = info["labels"]["class_names"]
        digest = hashlib.sha256(files["bundle.json"]).hexdigest()[:16]
        return cls(path, digest, names, reference, detector, quality, float(miou), tuple(notes))
