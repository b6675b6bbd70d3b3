"""Which scenes and frames a data set has, and which split each belongs to, before any is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from seglab.core.errors import ConfigError
from seglab.core.seeding import generator
from seglab.data.synth.drawing.scene import SceneOptions
from seglab.data.synth.options import LABELLED_SPLITS, SynthOptions


@dataclass(frozen=True)
class PlannedSample:
    """One sample by its scene and frame."""

    group: int
    frame: int
    split: str
    tags: tuple[str, ...] = ()

    @property
    def group_name(self) -> str:
        """Group as it stands in the manifest."""
        return f"scene{self.group:04d}"

    @property
    def sample_id(self) -> str:
        """Unique name, also of the files."""
        return f"{self.group_name}_{self.frame:03d}"


@dataclass(frozen=True)
class PlannedGroup:
    """One scene: its number, split, number of frames and what is fixed about it."""

    number: int
    split: str
    num_frames: int
    options: SceneOptions


def plan_groups(options: SynthOptions) -> list[PlannedGroup]:
    """Deal scenes out to splits.

    The first scene of each split shows every class, whatever `class_imbalance` takes from others.

    Returns:
        All scenes in the order of their numbers; together they have `num_images` frames.

    Raises:
        ConfigError: There are too few groups for the splits, or too few images for the faults.
    """
    count = options.num_groups
    if options.groups_in("train") < 1:
        raise ConfigError(
            f"{options.num_images} images in groups of {options.frames_per_group} make {count} "
            "group(s), too few for the splits asked for; raise num_images or lower frames_per_group"
        )
    order = generator("synth", options.seed, "splits").permutation(count)
    planned: dict[int, PlannedGroup] = {}
    start = 0
    for split in LABELLED_SPLITS:
        numbers = [int(number) for number in order[start : start + options.groups_in(split)]]
        start += len(numbers)
        stripped = min(round(options.class_imbalance * len(numbers)), max(len(numbers) - 1, 0))
        shift = options.domain_shift if split == "test" else "none"
        for place, number in enumerate(numbers):
            fixed = SceneOptions(
                is_complete=place == 0, has_rare=place < len(numbers) - stripped, shift=shift
            )
            planned[number] = PlannedGroup(number, split, _frames(options, number), fixed)
    groups = [planned[number] for number in range(count)]
    problems = _crowded(options, groups)
    if problems:
        raise ConfigError(problems)
    return groups


def _frames(options: SynthOptions, number: int) -> int:
    return min(options.frames_per_group, options.num_images - number * options.frames_per_group)


def _crowded(options: SynthOptions, groups: list[PlannedGroup]) -> list[str]:
    """Say where the faults asked for need more images than there are; a sample gets one at most."""
    images = {
        split: sum(group.num_frames for group in groups if group.split == split)
        for split in LABELLED_SPLITS
    }
    noisy = {
        split: sum(options.noise_count(kind, images[split]) for kind in options.noise_rates)
        for split in options.noisy_splits
    }
    problems = [
        f"label noise asks for {count} of the {images[split]} {split} images; lower the rates"
        for split, count in noisy.items()
        if count > images[split]
    ]
    if noisy.get("train", 0) + options.near_duplicates > images["train"]:
        problems.append(
            f"{noisy.get('train', 0)} noisy masks and the sources of {options.near_duplicates} "
            f"near duplicates do not fit into {images['train']} training images"
        )
    used = sum(noisy.values()) + options.near_duplicates
    if used + options.corrupt_files > options.num_images:
        problems.append(
            f"{options.corrupt_files} corrupt files do not fit beside {used} samples with other "
            f"faults into {options.num_images} images"
        )
    return problems
