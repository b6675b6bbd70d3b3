"""Whether an image is one of a data set's, or nearly so: what must not come back as training data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.curation.alike.hashing import (
    MAX_BITS,
    MIRRORED,
    NUM_VARIANTS,
    SAME_PICTURE,
    variant_hashes,
)
from seglab.curation.alike.second_look import similarity, small_grey
from seglab.curation.samples import read_sample
from seglab.data.folds.hashes import count_bits
from seglab.data.manifest import Manifest


class KnownImages:
    """The images of some splits, by their looks.

    Args:
        manifest: The data set.
        splits: Those that are looked at.
    """

    def __init__(self, manifest: Manifest, splits: Sequence[str]) -> None:
        table = manifest.table[manifest.table["keep"] & manifest.table["split"].isin(list(splits))]
        self._names: list[str] = []
        self._grey: list[np.ndarray] = []
        hashes = [np.empty((0, NUM_VARIANTS), np.uint64)]
        for row in table.sort_values("sample_id").to_dict(orient="records"):
            named = {str(key): value for key, value in row.items()}
            image = read_sample(manifest, {**named, "mask": None}).image
            if image is not None:
                self._names.append(str(row["sample_id"]))
                self._grey.append(small_grey(image))
                hashes.append(variant_hashes(image)[None])
        # Of the image and its cuts; the mirror image is that of the other one.
        self._hashes = np.delete(np.concatenate(hashes), MIRRORED, axis=1)

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self._names)

    def near(self, image: np.ndarray) -> tuple[str, float] | None:
        """Return the image of the data set that this one shows, and how much they agree.

        Args:
            image: uint8 RGB `(H, W, 3)`.

        Returns:
            `sample_id` and correlation, 0.9 to 1; None: it shows none of them.
        """
        if not self._names:
            return None
        own = variant_hashes(image)
        grey, best = small_grey(image), ("", -1.0)
        for hashes, seen in (
            (np.delete(own, MIRRORED), grey),
            (own[MIRRORED : MIRRORED + 1], grey[:, ::-1]),
        ):
            apart = count_bits(hashes[:, None, None] ^ self._hashes[None]).min((0, 2))
            for place in np.flatnonzero(apart <= MAX_BITS).tolist():
                score = similarity(seen, self._grey[place])
                best = max(best, (self._names[place], score), key=lambda one: one[1])
        return best if best[1] >= SAME_PICTURE else None
