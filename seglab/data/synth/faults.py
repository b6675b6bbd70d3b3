"""Faults planted into the data set, each with its ground truth, so that audits can be scored.

Label noise keeps the clean mask beside the noisy one; near duplicates name their source; corrupt
files say what was done to them. No sample gets two faults.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import write_json
from seglab.core.errors import DataError, DataNotFoundError
from seglab.core.seeding import generator
from seglab.data.synth.noise import add_noise
from seglab.data.synth.options import SynthOptions
from seglab.data.synth.plan import PlannedSample
from seglab.data.synth.storage import read_image, read_mask, recompressed, write_image, write_mask

FAULTS_NAME = "faults.json"
NEAR_DUPLICATE = "near_duplicate"
CORRUPT_FILE = "corrupt_file"
_SCHEMA = 1
# What is done to files, in turn.
_CORRUPTIONS = (
    ("truncated", "images"),
    ("empty", "images"),
    ("wrong_content", "images"),
    ("size_mismatch", "masks"),
    ("truncated", "masks"),
    ("empty", "masks"),
)
# What a failed download leaves behind.
_ERROR_PAGE = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>\n"


@dataclass(frozen=True)
class PlantedFault:
    """One fault that was planted on purpose.

    Args:
        sample_id: Which sample has it.
        split: Split of the sample.
        kind: `noise_boundary`, `noise_missing`, `noise_swap`, `noise_shift`, `near_duplicate` or
            `corrupt_file`.
        parameters: What exactly was done; for label noise `pixels_changed` too.
        clean_mask: Path of the mask without the noise, relative to the root; None for other kinds.
    """

    sample_id: str
    split: str
    kind: str
    parameters: dict[str, Any]
    clean_mask: str | None = None


def load_faults(root: Path) -> list[PlantedFault]:
    """Read the faults planted into a data set that `import_synth` made.

    Args:
        root: Root of the data set.

    Raises:
        DataNotFoundError: There is no record of faults under the root.
    """
    path = root / FAULTS_NAME
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such file; is {root} a data set made by synth?")
    content = json.loads(path.read_text(encoding="utf-8"))
    return [PlantedFault(**fault) for fault in content["faults"]]


def write_faults(root: Path, faults: Sequence[PlantedFault]) -> None:
    """Write the record of all planted faults, with a count by kind."""
    counts = Counter(fault.kind for fault in faults)
    write_json(
        root / FAULTS_NAME,
        {
            "schema": _SCHEMA,
            "counts": dict(sorted(counts.items())),
            "faults": [asdict(fault) for fault in faults],
        },
    )


def plant_noise(
    root: Path, samples: Sequence[PlannedSample], options: SynthOptions
) -> list[PlantedFault]:
    """Spoil masks of the asked share of images of each split; the clean ones go to `clean_masks/`.

    Raises:
        DataError: Fewer images than asked for hold an object that could be spoilt.
    """
    faults = []
    for split in options.noisy_splits:
        candidates = _shuffled([one for one in samples if one.split == split], options, split)
        wanted = {kind: options.noise_count(kind, len(candidates)) for kind in options.noise_rates}
        for kind, count in wanted.items():
            done: list[PlantedFault] = []
            passed: list[PlannedSample] = []
            while len(done) < count and candidates:
                sample = candidates.pop()
                fault = _spoil(root, sample, kind, options.seed)
                if fault is None:
                    passed.append(sample)
                else:
                    done.append(fault)
            if len(done) < count:
                raise DataError(
                    f"only {len(done)} of the {count} {split} images asked for could get {kind}: "
                    "the others hold no object large enough, or have another fault; lower the rate "
                    "or raise num_images"
                )
            candidates = passed + candidates
            faults += done
    return faults


def _spoil(root: Path, sample: PlannedSample, kind: str, seed: int) -> PlantedFault | None:
    path = root / "masks" / f"{sample.sample_id}.png"
    clean = read_mask(path)
    noisy = add_noise(kind, clean, generator("synth", seed, kind, sample.sample_id))
    if noisy is None:
        return None
    mask, parameters = noisy
    kept = root / "clean_masks" / path.name
    kept.parent.mkdir(exist_ok=True)
    path.replace(kept)
    write_mask(path, mask)
    changed = int(np.count_nonzero(mask != clean))
    relative = kept.relative_to(root).as_posix()
    parameters = {**parameters, "pixels_changed": changed}
    return PlantedFault(sample.sample_id, sample.split, kind, parameters, relative)


def plant_near_duplicates(
    root: Path, samples: Sequence[PlannedSample], options: SynthOptions, taken: Iterable[str]
) -> tuple[list[PlannedSample], list[PlantedFault]]:
    """Put slightly changed copies of training images into val and test, as new samples.

    A copy carries a group of its own: the leak shows in the pixels only, as it does in real data.

    Returns:
        The new samples and their faults.
    """
    targets = [split for split in ("val", "test") if options.groups_in(split)]
    spared = set(taken)
    sources = [one for one in samples if one.split == "train" and one.sample_id not in spared]
    chosen = _shuffled(sources, options, NEAR_DUPLICATE)[: options.near_duplicates]
    added, faults = [], []
    for number, source in enumerate(chosen):
        group = options.num_groups + number
        split = targets[number % len(targets)]
        copy = PlannedSample(group, 0, split, source.tags)
        rng = generator("synth", options.seed, NEAR_DUPLICATE, source.sample_id)
        parameters = _copy_sample(root, source, copy, rng)
        parameters |= {"source_id": source.sample_id, "source_group": source.group_name}
        added.append(copy)
        faults.append(PlantedFault(copy.sample_id, split, NEAR_DUPLICATE, parameters))
    return added, faults


def _copy_sample(
    root: Path, source: PlannedSample, copy: PlannedSample, rng: np.random.Generator
) -> dict[str, Any]:
    """Write a copy a pixel aside, a little brighter or darker, saved as JPEG in between."""
    image = read_image(root / "images" / f"{source.sample_id}.png")
    mask = read_mask(root / "masks" / f"{source.sample_id}.png")
    down, right = (int(value) for value in rng.integers(-2, 3, 2))
    gain, quality = float(rng.uniform(0.93, 1.07)), int(rng.integers(70, 95))
    rows = np.clip(np.arange(mask.shape[0]) - down, 0, mask.shape[0] - 1)
    columns = np.clip(np.arange(mask.shape[1]) - right, 0, mask.shape[1] - 1)
    moved = np.clip(image[np.ix_(rows, columns)] * gain, 0, 255).astype(np.uint8)
    write_image(root / "images" / f"{copy.sample_id}.png", recompressed(moved, quality))
    write_mask(root / "masks" / f"{copy.sample_id}.png", mask[np.ix_(rows, columns)])
    return {"down_px": down, "right_px": right, "gain": round(gain, 4), "jpeg_quality": quality}


def plant_corrupt_files(
    root: Path, samples: Sequence[PlannedSample], options: SynthOptions, taken: Iterable[str]
) -> list[PlantedFault]:
    """Damage files of samples without another fault, in all ways in turn."""
    spared = set(taken)
    free = _shuffled([one for one in samples if one.sample_id not in spared], options, CORRUPT_FILE)
    faults = []
    for number, sample in enumerate(free[: options.corrupt_files]):
        how, folder = _CORRUPTIONS[number % len(_CORRUPTIONS)]
        path = root / folder / f"{sample.sample_id}.png"
        _damage(path, how)
        parameters = {"how": how, "file": path.relative_to(root).as_posix()}
        faults.append(PlantedFault(sample.sample_id, sample.split, CORRUPT_FILE, parameters))
    return faults


def _damage(path: Path, how: str) -> None:
    if how == "size_mismatch":
        mask = read_mask(path)
        write_mask(path, mask[: mask.shape[0] * 3 // 4, : mask.shape[1] * 3 // 4])
        return
    content = path.read_bytes()
    damaged = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "wrong_content": _ERROR_PAGE,
    }
    path.write_bytes(damaged[how])


def _shuffled(
    samples: Sequence[PlannedSample], options: SynthOptions, what: str
) -> list[PlannedSample]:
    order = generator("synth", options.seed, "faults", what).permutation(len(samples))
    return [samples[int(index)] for index in order]
