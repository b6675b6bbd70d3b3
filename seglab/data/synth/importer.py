"""Importer `synth`: draws the roadside data set into a folder, once, and lists its samples."""

from __future__ import annotations

import glob
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from seglab.core.disk.files import write_json
from seglab.core.disk.places import filling
from seglab.core.errors import DataError, list_problems
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.listing import Listing
from seglab.data.synth.drawing.classes import LABELS
from seglab.data.synth.drawing.render import render_frame
from seglab.data.synth.drawing.scene import build_scene
from seglab.data.synth.faults import (
    plant_corrupt_files,
    plant_near_duplicates,
    plant_noise,
    write_faults,
)
from seglab.data.synth.options import SynthOptions
from seglab.data.synth.plan import PlannedGroup, PlannedSample, plan_groups
from seglab.data.synth.storage import write_image, write_mask

log = logging.getLogger(__name__)

RECORD_NAME = "synth.json"
# Raised whenever the same options would draw other pixels.
GENERATOR_VERSION = 1


@takes(SynthOptions, "data.options")
def import_synth(root: Path, *, chosen: SynthOptions) -> ImportedFiles:
    """Draw the roadside data set into `root`, or reuse it if it is there already.

    Seven classes seen from a car: terrain, sky, road, vegetation, building, vehicle, pole. A group
    is one drive past one scene; its frames resemble each other, so splits are made by group.
    Everything is a pure function of the options; a fault changes only the files it is planted in.

    `root` gets `images/`, `masks/`, `synth.json` (options and samples) and `faults.json` (every
    planted fault, see `load_faults`), and `clean_masks/` where label noise was planted. It appears
    in one step, also when several processes ask for it at once.

    Args:
        root: Folder to make; may exist if it is empty or holds the same data set.
        chosen: The fields of `SynthOptions`, each given by its name.

    Returns:
        The samples with absolute paths, the label space, and notes on what was planted.

    Raises:
        ConfigError: Options are impossible; all mistakes are listed.
        DataError: `root` holds other data, or label noise finds too few objects.
    """
    root = root.expanduser().absolute()
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        if not _is_made(root, chosen):
            with _folder_in_one_step(root) as folder:
                _generate(folder, chosen)
    return _listed(root)


def _is_made(root: Path, options: SynthOptions) -> bool:
    """Return whether the root holds this data set.

    Raises:
        DataError: It holds something else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    record = root / RECORD_NAME
    if not record.is_file():
        raise DataError(
            f"{root} is not empty and was not made by synth; choose a new folder as root"
        )
    content = json.loads(record.read_text(encoding="utf-8"))
    wanted = {"generator_version": GENERATOR_VERSION, **options.to_dict()}
    held = {"generator_version": content.get("generator_version"), **content.get("options", {})}
    different = [
        f"{name}: it has {held.get(name)!r}, asked for is {wanted.get(name)!r}"
        for name in sorted(wanted.keys() | held.keys())
        if held.get(name) != wanted.get(name)
    ]
    if different:
        title = f"{root} holds a synth data set with other options; delete it or choose a new root"
        raise DataError(list_problems(title, different))
    return True


@contextmanager
def _folder_in_one_step(root: Path) -> Iterator[Path]:
    """Yield a folder beside `root` that takes its place on success and vanishes otherwise."""
    prefix = f".{root.name}.making-"
    # The caller holds the lock, so a folder by this name is what a killed process left.
    for leftover in root.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=root.parent, prefix=prefix))
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    try:
        with filling(root):
            yield folder
        folder.replace(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _generate(folder: Path, options: SynthOptions) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    groups = plan_groups(options)
    samples: list[PlannedSample] = []
    pixels: dict[str, np.ndarray] = {}
    for group in groups:
        drawn, counts = _draw_group(folder, group, options)
        samples += drawn
        pixels[group.split] = pixels.get(group.split, 0) + counts
    faults = plant_noise(folder, samples, options)
    noisy = {fault.sample_id for fault in faults}
    copies, copied = plant_near_duplicates(folder, samples, options, noisy)
    taken = noisy | {str(fault.parameters["source_id"]) for fault in copied}
    faults += copied + plant_corrupt_files(folder, samples, options, taken)
    write_faults(folder, faults)
    write_json(
        folder / RECORD_NAME,
        {
            "generator_version": GENERATOR_VERSION,
            "options": options.to_dict(),
            "notes": _notes(options, pixels),
            "samples": [_described(sample) for sample in samples + copies],
        },
    )


def _draw_group(
    folder: Path, group: PlannedGroup, options: SynthOptions
) -> tuple[list[PlannedSample], np.ndarray]:
    """Write all frames of a scene; returns the samples and the pixels of each class."""
    scene = build_scene(options.seed, group.number, group.options)
    height, width = options.image_size
    samples, counts = [], np.zeros(LABELS.num_classes, dtype=np.int64)
    for number in range(group.num_frames):
        frame = render_frame(scene, number, (height, width), options.void_border)
        sample = PlannedSample(group.number, number, group.split, frame.tags)
        write_image(folder / "images" / f"{sample.sample_id}.png", frame.image)
        write_mask(folder / "masks" / f"{sample.sample_id}.png", frame.mask)
        counts += np.bincount(frame.mask.ravel(), minlength=256)[: LABELS.num_classes]
        samples.append(sample)
    return samples, counts


def _described(sample: PlannedSample) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "split": sample.split,
        "group": sample.group_name,
        "tags": list(sample.tags),
    }


def _notes(options: SynthOptions, pixels: dict[str, np.ndarray]) -> list[str]:
    """Return sentences on what was planted and on classes that a split does not show."""
    notes = []
    if options.corrupt_files:
        notes.append(
            f"{options.corrupt_files} samples have a file damaged on purpose; "
            "import with on_error=quarantine to keep them out"
        )
    if options.near_duplicates:
        notes.append(
            f"{options.near_duplicates} copies of training images were added to the held-out splits"
        )
    rates = {kind: rate for kind, rate in options.noise_rates.items() if rate}
    if rates:
        listed = ", ".join(f"{kind} {rate:g}" for kind, rate in rates.items())
        notes.append(f"label noise in {options.noise_splits}: {listed}; truth in faults.json")
    if options.domain_shift != "none":
        notes.append(f"the test split is moved to {options.domain_shift!r}")
    for split, counts in pixels.items():
        absent = [name for name, n in zip(LABELS.class_names, counts, strict=True) if n == 0]
        if absent:
            notes.append(f"{split} shows no {', '.join(absent)}")
    return notes


def _listed(root: Path) -> ImportedFiles:
    content = json.loads((root / RECORD_NAME).read_text(encoding="utf-8"))
    samples = [
        SampleFiles(
            sample_id=one["sample_id"],
            image=root / "images" / f"{one['sample_id']}.png",
            mask=root / "masks" / f"{one['sample_id']}.png",
            split=one["split"],
            group=one["group"],
            tags=tuple(one["tags"]),
        )
        for one in content["samples"]
    ]
    listing = Listing(root)
    listing.has(RECORD_NAME)
    return ImportedFiles(samples, LABELS, "index", list(content["notes"]), listing.sources)
