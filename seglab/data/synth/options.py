"""What may be asked of the procedural data set, checked before anything is drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seglab.core.errors import ConfigError, nearest
from seglab.data.synth.scene import SHIFTS

LABELLED_SPLITS = ("train", "val", "test")
_MIN_SIDE, _MAX_SIDE = 48, 1024
_MAX_VOID = 8


@dataclass(frozen=True)
class SynthOptions:
    """Options of `import_synth`, which explains each of them.

    Raises:
        ConfigError: Options are out of range or contradict each other; all are listed.
    """

    num_images: int = 240
    image_size: Sequence[int] = (192, 256)
    frames_per_group: int = 6
    val_fraction: float = 0.2
    test_fraction: float = 0.2
    seed: int = 0
    void_border: int = 1
    noise_boundary: float = 0.0
    noise_missing: float = 0.0
    noise_swap: float = 0.0
    noise_shift: float = 0.0
    noise_splits: str = "train"
    near_duplicates: int = 0
    corrupt_files: int = 0
    class_imbalance: float = 0.0
    domain_shift: str = "none"

    def __post_init__(self) -> None:
        """Check all options at once."""
        problems = [*self._range_problems(), *self._name_problems()]
        if problems:
            raise ConfigError(problems)
        object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))

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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as written beside the data."""
        return {**dataclasses.asdict(self), "image_size": list(self.image_size)}

    def _range_problems(self) -> list[str]:
        problems = []
        size = list(self.image_size)
        if len(size) != 2 or not all(_MIN_SIDE <= side <= _MAX_SIDE for side in size):
            problems.append(
                f"image_size must be [H, W] with sides in {_MIN_SIDE}..{_MAX_SIDE} px, got {size}"
            )
        least = {"num_images": 1, "frames_per_group": 1}
        least |= {"near_duplicates": 0, "corrupt_files": 0, "seed": 0}
        problems += [
            f"{name} must be at least {low}, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if not 0 <= self.void_border <= _MAX_VOID:
            problems.append(f"void_border must lie in 0..{_MAX_VOID} px, got {self.void_border}")
        fractions = {
            "val_fraction": self.val_fraction,
            "test_fraction": self.test_fraction,
            "class_imbalance": self.class_imbalance,
            **self.noise_rates,
        }
        for name, value in fractions.items():
            if not 0.0 <= value <= 1.0:
                problems.append(f"{name} must lie in 0..1, got {value}")
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

    def _name_problems(self) -> list[str]:
        problems = []
        if self.domain_shift not in SHIFTS:
            problems.append(
                f"unknown domain_shift {self.domain_shift!r}{nearest(self.domain_shift, SHIFTS)}; "
                f"known are {', '.join(SHIFTS)}"
            )
        elif self.domain_shift != "none" and self.test_fraction == 0:
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
