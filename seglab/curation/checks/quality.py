"""Images that show nothing, or little: blank, blurred, dark, over-exposed."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample

# Sharpness depends on the number of pixels, so it is measured at one size.
_SIDE = 256


@check(
    Kind(
        "blank",
        "warning",
        "The image is of one colour.",
        "drop",
        "images",
        3.0,
        "standard deviation of brightness, 0 to 255",
    ),
    Kind(
        "dark",
        "note",
        "Even the brightest part of the image is dark.",
        "look",
        "images",
        60.0,
        "brightness that 95 % of the pixels stay below, 0 to 255",
    ),
    Kind(
        "over_exposed",
        "note",
        "Even the darkest part of the image is bright.",
        "look",
        "images",
        190.0,
        "brightness that 95 % of the pixels are above, 0 to 255",
    ),
    Kind(
        "blurred",
        "note",
        "The image has far less detail than the others.",
        "look",
        "images",
        0.1,
        "variance of the Laplacian over contrast, as a share of the median image",
    ),
)
class QualityCheck:
    """Measures brightness and detail."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._limits = inputs.limits
        self._detail: list[tuple[str, float]] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Report what shows in one image alone; keep its detail."""
        if sample.image is None:
            return
        name, grey = sample.sample_id, _grey(sample.image)
        spread = float(grey.std())
        if spread < self._limits["blank"]:
            yield Finding("blank", name, f"standard deviation {spread:.1f}", spread)
            return
        low, high = (float(value) for value in np.percentile(grey, (5, 95)))
        if high < self._limits["dark"]:
            yield Finding("dark", name, f"95 % of the pixels are below {high:.0f} of 255", high)
        if low > self._limits["over_exposed"]:
            yield Finding(
                "over_exposed", name, f"95 % of the pixels are above {low:.0f} of 255", low
            )
        edges = cv2.Laplacian(grey, cv2.CV_32F)
        self._detail.append((name, float(edges.var() / grey.var())))

    def close(self) -> Iterable[Finding]:
        """Report images with far less detail than most."""
        if not self._detail:
            return
        usual = float(np.median([detail for _, detail in self._detail]))
        for name, detail in self._detail:
            share = detail / usual if usual > 0 else 1.0
            if share < self._limits["blurred"]:
                yield Finding("blurred", name, f"{100 * share:.1f} % of the usual detail", share)


def _grey(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = _SIDE / max(grey.shape)
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return grey.astype(np.float32)
