from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest

LABELS = LabelSpace(("ground", "tree", "car"))
Make = Callable[..., Manifest]


def picture(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth random picture: unlike any other, with structure at the scale that hashes see."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), dtype=np.float32)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write images and masks (name -> arrays, image or mask as bytes too) and import them."""

    def write(
        images: dict[str, np.ndarray],
        masks: dict[str, np.ndarray | None] | None = None,
        splits: dict[str, str] | None = None,
    ) -> Manifest:
        files = []
        for name, image in images.items():
            mask = np.zeros(image.shape[:2], np.uint8) if masks is None else masks[name]
            Image.fromarray(image).save(tmp_path / f"{name}.png")
            split = (splits or {}).get(name, "train")
            if mask is not None:
                Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
            path = None if mask is None else tmp_path / f"{name}_mask.png"
            files.append(SampleFiles(name, tmp_path / f"{name}.png", path, split, group=name))
        return build_manifest(ImportedFiles(files, LABELS), tmp_path, "mine", {})

    return write
