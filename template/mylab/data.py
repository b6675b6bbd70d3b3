"""A data set: `read(root)` says which files belong together; seglab reads, checks and caches them."""

from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.errors import DataNotFoundError
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles

CLASSES = ("background", "disc", "box")
PALETTE = ((60, 60, 60), (220, 60, 60), (60, 90, 220))


def read_shapes(root: Path, parts: int = 6) -> ImportedFiles:
    """List `root/images/*.png` with their masks in `root/masks`.

    One of `parts` images is for validation, one for test, the others are for training.
    """
    images = sorted((root / "images").glob("*.png"))
    if not images:
        raise DataNotFoundError(f"no PNG in {root / 'images'}; `python -m mylab.data` draws some")
    samples = [
        SampleFiles(
            sample_id=image.stem,
            image=image,
            mask=root / "masks" / image.name,
            split={0: "val", 1: "test"}.get(number % parts, "train"),
            group=image.stem,
        )
        for number, image in enumerate(images)
    ]
    return ImportedFiles(samples, LabelSpace(CLASSES, palette=PALETTE))


def draw_shapes(root: Path, count: int = 36, size: int = 64) -> None:
    """Draw a disc and a box on noise, with a mask of class indices, into `root`."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        mask = np.zeros((size, size), np.uint8)
        top, left = rng.integers(0, size - 20, 2)
        mask[top : top + 20, left : left + 20] = 2
        middle = rng.integers(12, size - 12, 2)
        mask[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 100] = 1
        noise = rng.normal(0, 40, (size, size, 3))
        image = np.array(PALETTE)[mask] + noise
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"images/{number:03}.png")
        Image.fromarray(mask).save(root / f"masks/{number:03}.png")


if __name__ == "__main__":
    draw_shapes(Path("data/shapes"))
