"""Measure reading of samples: decoding files against the packed cache, and loader throughput.

Everything is generated into a temporary folder. Timings of a shared machine vary: compare the
medians, and rather the ratios than the times.

Example: python scripts/bench_data.py --images 100 --workers 0 1 2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image

from seglab.core.disk.files import sha256_bytes
from seglab.core.labels import LabelSpace
from seglab.data.files.images import read_image
from seglab.data.files.masks import read_mask
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.datamodule import LoaderConfig, SegDataModule
from seglab.data.loading.dataset import SegmentationDataset
from seglab.data.loading.sampler import SampleKey
from seglab.data.manifest import Manifest

LABELS = LabelSpace(class_names=tuple(f"class{index}" for index in range(11)))


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100, help="number of images (100)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"), help="size (360 480)"
    )
    parser.add_argument(
        "--suffix", choices=("png", "jpg"), default="png", help="kind of image (png)"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of workers (0 1 2)"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="batch size (8)")
    parser.add_argument("--repeats", type=int, default=5, help="passes; the median counts (5)")
    return parser.parse_args()


def generate(root: Path, count: int, size: tuple[int, int], suffix: str) -> Manifest:
    """Write smooth coloured noise as images and regions as masks, with a manifest of them."""
    rng = np.random.default_rng(0)
    height, width = size
    rows = []
    for number in range(count):
        name = f"{number:05}"
        coarse = rng.integers(0, 256, (height // 12, width // 12, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        image = cv2.add(image, rng.integers(0, 8, image.shape, dtype=np.uint8))
        regions = rng.integers(0, LABELS.num_classes, (6, 8), dtype=np.uint8)
        mask = cv2.resize(regions, (width, height), interpolation=cv2.INTER_NEAREST)
        path = root / f"{name}.{suffix}"
        Image.fromarray(image).save(path)
        Image.fromarray(mask).save(root / f"{name}_mask.png")
        counts = np.bincount(mask.ravel(), minlength=LABELS.num_classes)
        row = {
            "sample_id": name,
            "image": path.name,
            "mask": f"{name}_mask.png",
            "height": height,
            "width": width,
            "split": "train",
            "group": name,
            "annotator": None,
            "tags": [],
            "sha256": sha256_bytes(path.read_bytes()),
            "phash": None,
            "class_pixels": [*counts, 0],
            "flags": [],
            "keep": True,
        }
        rows.append(row)
    return Manifest(pd.DataFrame(rows), LABELS, root, "bench", "index", {})


def median_ms(action: Callable[[int], object], count: int, repeats: int) -> float:
    """Return the median over passes of the mean time of `action(0..count-1)`, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for number in range(count):
            action(number)
        times.append((time.perf_counter() - start) / count * 1e3)
    return statistics.median(times)


def crop_and_flip(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random half and flip it at random; cheap, so that the loader itself is measured."""
    height, width = mask.shape
    top, left = int(rng.integers(0, height // 2 + 1)), int(rng.integers(0, width // 2 + 1))
    window = np.s_[top : top + height // 2, left : left + width // 2]
    step = -1 if rng.random() < 0.5 else 1
    return image[window][:, ::step], mask[window][:, ::step]


def compare_reading(manifest: Manifest, cache: PackedCache, repeats: int) -> None:
    """Print the time of one sample from its files and from the cache."""
    count = len(cache)
    images = [manifest.root / name for name in manifest.table["image"]]
    masks = [manifest.root / name for name in manifest.table["mask"]]
    dataset = SegmentationDataset(cache, range(count))
    augmented = SegmentationDataset(cache, range(count), transform=crop_and_flip)
    decode = median_ms(
        lambda n: (read_image(images[n]), read_mask(masks[n], LABELS, "index")), count, repeats
    )
    actions: dict[str, Callable[[int], object]] = {
        "views (no pixel is read)": lambda n: (cache.image(n), cache.mask(n)),
        "key -> tensors": lambda n: dataset[SampleKey(n, 0, n)],
        "key -> tensors, crop and flip": lambda n: augmented[SampleKey(n, 0, n)],
    }
    print(f"{'one sample':32}{'ms':>10}{'decode / this':>16}")
    print(f"{'decoding its files':32}{decode:10.4f}{1:16.1f}")
    for name, action in actions.items():
        taken = median_ms(action, count, repeats)
        print(f"{name:32}{taken:10.4f}{decode / taken:16.1f}")


def compare_loaders(
    manifest: Manifest, cache: PackedCache, arguments: argparse.Namespace, augmented: bool
) -> None:
    """Print images a second of the training loader for each number of workers."""
    print(f"\ntraining loader, {'crop and flip' if augmented else 'whole images'}")
    print(f"{'workers':>8}{'img/s':>10}{'ratio':>8}{'first batch, ms':>18}")
    base = None
    for num_workers in arguments.workers:
        config = LoaderConfig(
            batch_size=arguments.batch_size, num_workers=num_workers, drop_last=False
        )
        transform = crop_and_flip if augmented else None
        loader = SegDataModule(manifest, cache, config, transform=transform).train_dataloader()
        rates = []
        start = time.perf_counter()
        next(iter(loader))
        first = (time.perf_counter() - start) * 1e3
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            seen = sum(len(batch["image"]) for batch in loader)
            rates.append(seen / (time.perf_counter() - start))
        rate = statistics.median(rates)
        base = base or rate
        print(f"{num_workers:8}{rate:10.0f}{rate / base:8.2f}{first:18.1f}")


def main() -> None:
    """Generate the data, then measure."""
    arguments = parse_arguments()
    # As in a worker: one thread, so that numbers can be compared.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        size = (arguments.size[0], arguments.size[1])
        manifest = generate(Path(folder), arguments.images, size, arguments.suffix)
        start = time.perf_counter()
        cache = PackedCache.open(manifest, Path(folder) / "cache")
        built = time.perf_counter() - start
        start = time.perf_counter()
        PackedCache.open(manifest, Path(folder) / "cache")
        opened = (time.perf_counter() - start) * 1e3
        print(f"{arguments.images} {arguments.suffix} images of {size[0]} x {size[1]}")
        print(f"building the cache {built:.2f} s, opening it {opened:.1f} ms\n")
        compare_reading(manifest, cache, arguments.repeats)
        compare_loaders(manifest, cache, arguments, augmented=False)
        compare_loaders(manifest, cache, arguments, augmented=True)


if __name__ == "__main__":
    main()
