"""Images that are there twice, and those of them that make scores look better than they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from seglab.curation.alike.hashing import MAX_BITS, SAME_PICTURE, variant_hashes
from seglab.curation.alike.pairs import candidate_pairs, confirmed_pairs
from seglab.curation.alike.second_look import similarity, small_grey
from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample, read_sample

_HELD_OUT = ("train", "val", "test")


@check(
    Kind(
        "exact_duplicate", "warning", "The image file is byte for byte another one.", "cap", "files"
    ),
    Kind(
        "near_duplicate",
        "warning",
        "The image is another one, recompressed, resized, cropped, moved, flipped or lit differently.",
        "cap",
        "images",
        SAME_PICTURE,
        "correlation of the two, moved over each other, from which they are one picture",
    ),
    Kind(
        "split_leak",
        "warning",
        "The image, or nearly the same one, is in another split too, so scores look better.",
        "drop",
        "images",
    ),
    Kind(
        "fold_leak",
        "warning",
        "The image, or nearly the same one, is on another side of a fold too.",
        "drop",
        "folds",
    ),
)
class DuplicateCheck:
    """Compares files by SHA-256, pictures by perceptual hashes and then by their pixels."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._inputs = inputs
        self._rows: list[dict[str, object]] = []
        self._hashes: list[np.ndarray] = []
        self._digests: list[str | None] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Keep the hashes of an image."""
        if sample.image is not None:
            self._rows.append(sample.row)
            self._hashes.append(variant_hashes(sample.image))
            self._digests.append(sample.sha256[0])
        return ()

    def close(self) -> Iterable[Finding]:
        """Report each image with the most similar one before it, and with one across each border."""
        if not self._hashes:
            return
        names = [str(row["sample_id"]) for row in self._rows]
        splits = [str(row["split"]) for row in self._rows]
        pairs = list(self._pairs())
        best: dict[int, tuple[float, int]] = {}
        for one, other, score in pairs:
            best[other] = max(best.get(other, (-1.0, 0)), (score, -one))
        for later, (score, place) in sorted(best.items()):
            exact = self._digests[later] == self._digests[-place]
            kind = "exact_duplicate" if exact else "near_duplicate"
            words = "the same bytes" if exact else f"correlation {score:.3f}"
            yield Finding(kind, names[later], words, None if exact else score, None, names[-place])
        yield from self._crossing("split_leak", pairs, splits, names, "")
        for fold in self._inputs.folds.folds if self._inputs.folds else ():
            side = {name: role for role in _HELD_OUT for name in fold.roles[role]}
            sides = [side.get(name, "") for name in names]
            yield from self._crossing("fold_leak", pairs, sides, names, f"{fold.name}: ")

    def _crossing(
        self,
        kind: str,
        pairs: list[tuple[int, int, float]],
        sides: list[str],
        names: list[str],
        where: str,
    ) -> Iterator[Finding]:
        best: dict[int, tuple[float, int]] = {}
        for one, other, score in pairs:
            if sides[one] == sides[other] or not {sides[one], sides[other]} <= set(_HELD_OUT):
                continue
            # Named is the one that is held out: without it no score changes its training.
            early, late = sorted((one, other), key=lambda place: _HELD_OUT.index(sides[place]))
            best[late] = max(best.get(late, (-1.0, 0)), (score, -early))
        for late, (score, place) in sorted(best.items()):
            text = f"{where}in {sides[late]}, and in {sides[-place]}"
            yield Finding(kind, names[late], text, score, None, names[-place])

    def _pairs(self) -> Iterator[tuple[int, int, float]]:
        manifest, rows = self._inputs.manifest, self._rows

        @lru_cache(maxsize=4096)
        def grey(place: int) -> np.ndarray | None:
            image = read_sample(manifest, {**rows[place], "mask": None}).image
            return None if image is None else small_grey(image)

        def look(one: int, other: int, mirrored: bool) -> float:
            if self._digests[one] == self._digests[other]:
                return 1.0
            left, right = grey(one), grey(other)
            if left is None or right is None:
                return -1.0
            return similarity(left[:, ::-1] if mirrored else left, right)

        candidates = candidate_pairs(np.stack(self._hashes), MAX_BITS)
        yield from confirmed_pairs(candidates, look, self._inputs.limits["near_duplicate"])
