"""What the steps of one queue share: its images, read when they are needed, kept once they are taken."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle
from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError
from seglab.curation.known import KnownImages
from seglab.data.files.image_files import read_bytes
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue.candidates import Candidates
from seglab.feedback.queue.content import Part
from seglab.feedback.queue.scores import member_disagreement

GONE = "whose stored image is gone or damaged"
_LOOK_SIDE = 16


@dataclass(eq=False)
class Work:
    """A queue in the making.

    Attributes:
        options: As asked for.
        place: Of the bundle.
        bundle: The model.
        found: All images.
        known: The holdout; None: there is none to refuse images for.
        folder: Where images that are taken are copied to: the log may forget its own at any time.
        refused: What was refused.
        disagreement: Of the images it was asked of.
    """

    options: QueueOptions
    place: Path
    bundle: Bundle
    found: Candidates
    known: KnownImages | None
    folder: Path
    refused: list[dict[str, Any]] = field(default_factory=list)
    disagreement: dict[int, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Make the folder, without what an interrupted queue left there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def take(self, place: int, part: Part) -> bool:
        """Keep an image, unless it nearly is one of the holdout, or is gone."""
        try:
            content = read_bytes(self.found.places[place])
            pixels = self.bundle.decode(content)
        except (DataError, ValueError):
            self.found.left_out[GONE] += 1
            return False
        near = None if self.known is None else self.known.near(_as_rgb(pixels))
        if near is not None:
            name = self.found.rows[place]["id"]
            told = {"id": name, "part": part, "near": near[0], "similarity": round(near[1], 3)}
            self.refused.append(told)
            return False
        with atomic_path(self.folder / self.found.image_name(place)) as temporary:
            temporary.write_bytes(content)
        return True

    def disagreements(self, places: np.ndarray) -> np.ndarray:
        """Return how much the members of the bundle disagree; 0 on an image that is gone."""
        for place in places.tolist():
            if place not in self.disagreement:
                pixels = self._pixels(place)
                found = 0.0 if pixels is None else member_disagreement(self.bundle, pixels)
                self.disagreement[place] = found
        return np.array([self.disagreement[place] for place in places.tolist()])

    def small_pictures(self, places: np.ndarray) -> np.ndarray:
        """Return what images look like from afar, where there are no features."""
        black = np.zeros((1, 1, 3), np.uint8)
        small = []
        for place in places.tolist():
            pixels = self._pixels(place)
            picture = Image.fromarray(_as_rgb(black if pixels is None else pixels))
            small.append(np.asarray(picture.resize((_LOOK_SIDE, _LOOK_SIDE)), np.float64).ravel())
        return np.stack(small)

    def _pixels(self, place: int) -> np.ndarray | None:
        try:
            return self.bundle.decode(read_bytes(self.found.places[place]))
        except (DataError, ValueError):
            return None


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
