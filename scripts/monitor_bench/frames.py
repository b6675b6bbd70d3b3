"""Statistics of CamVid's frames through a bundle, clean and corrupted, kept so that they are made once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from seglab.augment.corruption.corruptions import corrupt
from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle, load
from seglab.monitor.blocks import Streams
from seglab.monitor.samples import Sample

# Light left over at severities 1 to 5; the other corruptions are those of `seglab.augment`.
DARKNESS = (0.75, 0.6, 0.45, 0.3, 0.2)
SHIFTS = ("fog", "darkness", "gaussian_blur", "gaussian_noise")
MILD = ("brightness", "contrast", "rain", "jpeg")


class Frames:
    """Frames of a folder in CamVid's form, `train`, `trainannot`, `val`, `valannot`.

    Args:
        data: The folder.
        bundle: What predicts.
        cache: Folder that keeps the statistics, of this bundle only.
    """

    def __init__(self, data: Path, bundle: Path, cache: Path) -> None:
        self.data, self.cache = data, cache
        self._path = bundle
        self._bundle: Bundle | None = None
        cache.mkdir(parents=True, exist_ok=True)

    def sample(self, split: str, shift: str = "clean", severity: int = 0) -> Sample:
        """Return the frames of a split in order of time; streams are its drives."""
        path = self.cache / f"{split}-{shift}-{severity}.npz"
        if not path.exists():
            self._measure(split, shift, severity, path)
        with np.load(path) as held:
            content = dict(held)
        ids, features = content.pop("ids"), content.pop("features")
        drives = np.array([split + one.partition("_")[0] for one in ids])
        return Sample(content, features, drives, np.arange(len(ids), dtype=np.float64))

    def _measure(self, split: str, shift: str, severity: int, path: Path) -> None:
        self._bundle = self._bundle or load(self._path, threads=torch.get_num_threads())
        begun, rows, ids = time.time(), dict[str, list[Any]](), list[str]()
        for place in sorted((self.data / split).glob("*.png")):
            image = shifted(self._bundle.decode(place.read_bytes()), shift, severity, place.stem)
            with Image.open(self.data / f"{split}annot" / place.name) as mask:
                row = _numbers(self._bundle, image, np.asarray(mask))
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
            ids.append(place.stem)
        content = {name: np.stack(values).astype(np.float32) for name, values in rows.items()}
        np.savez_compressed(path, allow_pickle=False, ids=np.array(ids), **content)
        print(f"{path.name}: {len(ids)} frames, {time.time() - begun:.0f} s", flush=True)


def shifted(image: np.ndarray, shift: str, severity: int, name: str) -> np.ndarray:
    """Return an image `(H, W, 3)` under a shift."""
    if shift == "clean":
        return image
    if shift == "darkness":
        return np.rint(image * DARKNESS[severity - 1]).astype(np.uint8)
    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    changed: np.ndarray = corrupt(batch, shift, severity, 0, [name])[0].permute(1, 2, 0).numpy()
    return changed


def _numbers(bundle: Bundle, image: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    found, classes = bundle.predict(image), len(bundle.class_names)
    known = mask < classes
    pairs = mask[known].astype(int) * classes + found.mask[known]
    true = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    row = {**input_statistics(image), **output_statistics(found)}
    return {**row, "features": found.features, "true_confusion": true}


def part(sample: Sample, rows: np.ndarray, streams: np.ndarray | None = None) -> Sample:
    """Return some images as a stream of their own; `streams` None: the streams they had."""
    return Sample(
        {name: values[rows] for name, values in sample.statistics.items()},
        None if sample.features is None else sample.features[rows],
        sample.streams[rows] if streams is None else streams,
        np.arange(len(rows), dtype=np.float64),
    )


def joined(*samples: Sample) -> Sample:
    """Return the images of several samples one after another."""
    names = samples[0].statistics
    return Sample(
        {name: np.concatenate([one.statistics[name] for one in samples]) for name in names},
        np.concatenate([np.asarray(one.features) for one in samples]),
        np.concatenate([one.streams for one in samples]),
        np.arange(sum(len(one.times) for one in samples), dtype=np.float64),
    )


def drive(pool: Sample, count: int, run: float, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of frames of an endless drive: runs of neighbouring frames, of random lengths.

    Args:
        pool: Real frames.
        count: How many frames.
        run: Mean length of a run, frames.
        rng: Source of randomness.
    """
    streams, found = Streams.of(pool.streams), np.empty(0, np.int64)
    while len(found) < count:
        first = int(rng.integers(len(pool.times)))
        members = streams.members[streams.stream_of[first]]
        places = streams.place_of[first] + np.arange(rng.geometric(1 / run))
        found = np.concatenate([found, members[places % len(members)]])
    return found[:count]
