"""Pictures of parts of masks, cut out of their images with something around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seglab.core.errors import DataError
from seglab.curation.review.page import overlay, photo
from seglab.curation.review.sheet import read_sample
from seglab.data.manifest import Manifest
from seglab.data.mask_parts import choose

# A cut shows so much around a part, and at least so many pixels.
_AROUND, _LEAST_CUT = 1.6, 64
_CUT_SIDE = 320


def usual_parts(parts: pd.DataFrame) -> pd.DataFrame:
    """Return parts of the larger half, whole ones where there are any."""
    large = parts[parts["area"] >= parts["area"].median()]
    whole = large[large["cut_off"] == 0]
    return whole if len(whole) else large


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts pictures of parts out of the samples that `find_parts` looked at.

    Args:
        manifest: The data set.
        rows: Those samples.
    """

    manifest: Manifest
    rows: Sequence[dict[str, Any]]

    def cuts(
        self, parts: pd.DataFrame, number: int, rng: np.random.Generator
    ) -> list[dict[str, Any]]:
        """Return pictures of some of the parts."""
        chosen = choose(parts, number, rng)
        return [self._cut(part) for part in chosen.to_dict(orient="records")]

    def _cut(self, part: dict[Any, Any]) -> dict[str, Any]:
        labels, row = self.manifest.labels, self.rows[part["row"]]
        image, mask = read_sample(self.manifest, row)
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"{row['sample_id']}: image {image.shape[:2]} and mask {mask.shape} differ in size"
            )
        height, width = mask.shape
        side = round(max(_LEAST_CUT, _AROUND * max(part["width"], part["height"])))
        rows = _window(part["top"] + part["height"] / 2, side, height)
        columns = _window(part["left"] + part["width"] / 2, side, width)
        shown = mask[rows, columns].copy()
        shown[shown != part["class_index"]] = labels.ignore_index
        return {
            "image": photo(np.ascontiguousarray(image[rows, columns]), _CUT_SIDE),
            "mask": overlay(shown, labels, _CUT_SIDE),
            "sample_id": str(row["sample_id"]),
            "area": int(part["area"]),
            "box": f"{part['width']} x {part['height']}",
        }


def _window(centre: float, side: int, length: int) -> slice:
    """Return a stretch of an axis around its centre, moved inwards where it would reach outside."""
    start = max(0, min(round(centre - side / 2), length - side))
    return slice(start, min(length, start + side))
