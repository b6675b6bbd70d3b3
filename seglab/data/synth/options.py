"""What may be asked of the procedural data set, checked before anything is drawn."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval
from pydantic import model_validator

from seglab.core.errors import nearest
from seglab.core.options import Fraction, FromList, NotNegative, Positive, Words, broken_rule
from seglab.core.parts.components import component
from seglab.data.importers.options import ImporterOptions

LABELLED_SPLITS = ("train", "val", "test")
Shift = Literal["none", "night", "fog", "blur", "colour", "noise"]
Side = Annotated[int, Interval(ge=48, le=1024)]


@component("importer", "seglab.data.synth.importer.import_synth", "synth")
class SynthOptions(ImporterOptions):
    """Roadside scenes drawn by seglab itself."""

    holds: ClassVar[str] = "what was drawn"
    makes_data: ClassVar[bool] = True
    num_images: Positive = 240
    """Images over all splits, without the copies that `near_duplicates` adds."""
    image_size: Annotated[
        tuple[Side, Side], FromList, Words("[H, W] with sides of 48 to 1024 pixels")
    ] = (192, 256)
    """`[H, W]` in pixels."""
    frames_per_group: Positive = 6
    """Frames of one drive."""
    val_fraction: Fraction = 0.2
    """Share of groups in the split `val`; at least one group if above 0."""
    test_fraction: Fraction = 0.2
    """Share of groups in `test`, likewise."""
    seed: NotNegative = 0
    """Another seed draws another world."""
    void_border: Annotated[int, Interval(ge=0, le=8)] = 1
    """Half width in pixels of the ignored band around foliage; 0 for none."""
    noise_boundary: Fraction = 0.0
    """Share of images whose object borders are too wide, too tight or ragged."""
    noise_missing: Fraction = 0.0
    """Share of images with one object left out of the mask."""
    noise_swap: Fraction = 0.0
    """Share of images with one object of the wrong class."""
    noise_shift: Fraction = 0.0
    """Share of images with the whole mask moved aside."""
    noise_splits: str = "train"
    """Splits with label noise, separated by commas; shares count within each."""
    near_duplicates: NotNegative = 0
    """Copies of training images added to val and test in turn, each a pixel or two aside, a little
    brighter or darker and recompressed, under a group of its own."""
    corrupt_files: NotNegative = 0
    """Samples with a file that is cut off, empty, no image, or a mask of another size, in turn."""
    class_imbalance: Fraction = 0.0
    """Share of groups without vehicles and poles; one group in each split keeps all classes."""
    domain_shift: Shift = "none"
    """Condition all test images are moved to."""

    @model_validator(mode="after")
    def _go_together(self) -> SynthOptions:
        if problems := [*self._share_problems(), *self._split_problems()]:
            raise broken_rule(*problems)
        return self

    @property
    def num_groups(self) -> int:
        """Number of scenes; the last one may have fewer frames than the others."""
        return math.ceil(self.num_images / self.frames_per_group)

    @property
    def noise_rates(self) -> dict[str, float]:
        """Share of images by kind of label noise, kinds in the order they are planted."""
        return {
            "noise_missing": self.noise_missing,
            "noise_swap": self.noise_swap,
            "noise_boundary": self.noise_boundary,
            "noise_shift": self.noise_shift,
        }

    @property
    def noisy_splits(self) -> tuple[str, ...]:
        """Splits that get label noise."""
        return tuple(part.strip() for part in self.noise_splits.split(",") if part.strip())

    def groups_in(self, split: str) -> int:
        """Return how many scenes a split gets: at least one where its fraction is above 0."""
        val = self._share(self.val_fraction)
        test = self._share(self.test_fraction)
        return {"train": self.num_groups - val - test, "val": val, "test": test}[split]

    def _share(self, fraction: float) -> int:
        return max(1, round(fraction * self.num_groups)) if fraction > 0 else 0

    def noise_count(self, kind: str, images: int) -> int:
        """Return how many of `images` get a kind of noise: the rounded share, at least one."""
        rate = self.noise_rates[kind]
        return max(1, math.floor(rate * images + 0.5)) if rate > 0 and images else 0

    def _share_problems(self) -> list[str]:
        problems = []
        if self.val_fraction + self.test_fraction >= 1.0:
            problems.append(
                f"val_fraction + test_fraction must leave images to train on, got "
                f"{self.val_fraction} + {self.test_fraction}"
            )
        if sum(self.noise_rates.values()) > 1.0 + 1e-9:
            problems.append(
                f"the noise_* rates must sum to at most 1, an image gets one kind; got "
                f"{sum(self.noise_rates.values()):g}"
            )
        return problems

    def _split_problems(self) -> list[str]:
        problems = []
        if self.domain_shift != "none" and self.test_fraction == 0:
            problems.append("domain_shift moves the test split, but test_fraction is 0")
        problems += [
            f"unknown split {split!r} in noise_splits{nearest(split, LABELLED_SPLITS)}; "
            f"splits are {', '.join(LABELLED_SPLITS)}"
            for split in self.noisy_splits
            if split not in LABELLED_SPLITS
        ]
        if any(self.noise_rates.values()) and not self.noisy_splits:
            problems.append("noise_* rates are set, but noise_splits names no split")
        if self.near_duplicates and self.val_fraction == 0 and self.test_fraction == 0:
            problems.append(
                "near_duplicates go from train to val and test, but both fractions are 0"
            )
        return problems
