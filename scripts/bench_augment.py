"""Measure what augmentation costs: milliseconds an image for each preset and back end, one thread.

Random images are warped as fast as real ones; JPEG is not, hence the smooth synthetic source.
albumentations runs the nearest recipe it can express to `standard`, when it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from seglab.augment import AugmentSpec, DeviceAugment, Uint8Augment, sample_params
from seglab.core.seeding import generator

PRESETS = Path(__file__).resolve().parents[1] / "conf" / "augment"
Image = NDArray[np.uint8]


def make_sample(height: int, width: int) -> tuple[Image, Image]:
    """Return a smooth image uint8 `(H, W, 3)` with some noise, and a mask of blobs `(H, W)`."""
    rng = generator("bench")
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 4, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    mask = cv2.resize(
        rng.integers(0, 11, (12, 16), dtype=np.uint8),
        (width, height),
        interpolation=cv2.INTER_NEAREST,
    )
    return image, np.asarray(mask, dtype=np.uint8)


def measure(call: Callable[[int], Any], repeats: int, images_a_call: int = 1) -> float:
    """Return the median time of a call in milliseconds an image; the call gets its number."""
    call(0)
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - start) / images_a_call)
    return 1000 * statistics.median(times)


def time_uint8(spec: AugmentSpec, crop_hw: tuple[int, int], options: argparse.Namespace) -> float:
    """Return milliseconds an image of the uint8 back end."""
    image, mask = make_sample(*options.image)
    augment = Uint8Augment(spec, crop_hw)
    return measure(lambda n: augment(image, mask, generator(n)), options.repeats)


def time_kornia(spec: AugmentSpec, crop_hw: tuple[int, int], options: argparse.Namespace) -> float:
    """Return milliseconds an image of the kornia back end, in batches on the chosen device."""
    image, mask = make_sample(*options.image)
    device, size = torch.device(options.device), options.batch_size
    images = torch.from_numpy(image).permute(2, 0, 1).expand(size, -1, -1, -1).to(device)
    masks = torch.from_numpy(mask).expand(size, -1, -1).to(device)
    augment = DeviceAugment(spec, crop_hw)

    def run(number: int) -> None:
        params = [
            sample_params(spec, generator(number, i), tuple(options.image), crop_hw)
            for i in range(size)
        ]
        augment(images, masks, params)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return measure(run, max(3, options.repeats // size), size)


def time_albumentations(crop_hw: tuple[int, int], options: argparse.Namespace) -> float | None:
    """Return milliseconds an image of a recipe like `standard`, or None without the library."""
    if importlib.util.find_spec("albumentations") is None:
        return None
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # It asks the network for news when imported.
    import albumentations as album

    image, mask = make_sample(*options.image)
    pipeline = album.Compose(
        [
            album.HorizontalFlip(p=0.5),
            album.Affine(scale=(0.75, 1.5), rotate=(-5, 5), fill_mask=255, p=1.0),
            album.PadIfNeeded(*crop_hw, fill_mask=255),
            album.RandomCrop(*crop_hw),
            album.ColorJitter((0.75, 1.25), (0.75, 1.25), (0.7, 1.3), (0.0, 0.0), p=0.8),
        ]
    )
    return measure(lambda _: pipeline(image=image, mask=mask), options.repeats)


def main() -> None:
    """Parse the arguments, measure and print one table for each crop size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=int, nargs=2, default=[360, 480], metavar=("H", "W"))
    parser.add_argument(
        "--crop",
        type=int,
        nargs=2,
        action="append",
        metavar=("H", "W"),
        help="may be given more than once; default 192 256 and 320 416",
    )
    parser.add_argument("--presets", nargs="+", default=["none", "light", "standard", "strong"])
    parser.add_argument("--repeats", type=int, default=200, help="images for each figure")
    parser.add_argument("--batch-size", type=int, default=8, help="of the kornia back end")
    parser.add_argument("--device", default="cpu", help="of the kornia back end")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for height, width in options.crop or [[192, 256], [320, 416]]:
        print(f"\n{options.image[0]}x{options.image[1]} -> {height}x{width}, median ms per image")
        print(f"{'preset':<16}{'uint8':>8}{'kornia':>9} ({options.device}){'ratio':>8}")
        for name in options.presets:
            content = yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
            spec = AugmentSpec.read(content)
            fast = time_uint8(spec, (height, width), options)
            slow = time_kornia(spec, (height, width), options)
            print(f"{name:<16}{fast:8.2f}{slow:9.2f}{'':>6}{slow / fast:8.1f}")
            if name == "standard":
                other = time_albumentations((height, width), options)
                if other is not None:
                    print(f"{'  albumentations':<16}{other:8.2f}{'':>15}{other / fast:8.1f}")


if __name__ == "__main__":
    main()
