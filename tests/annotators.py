"""Tiny data sets that several annotators drew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest

LABELS = LabelSpace(("ground", "tree", "car"), ((90, 60, 30), (0, 160, 0), (40, 40, 220)))


def image_of(name: str, height: int = 24, width: int = 32) -> np.ndarray:
    """A picture of its own for each name, uint8 RGB `(H, W, 3)`."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_annotator(
    folder: Path,
    who: str,
    masks: Mapping[str, np.ndarray],
    labels: LabelSpace = LABELS,
    annotator: str | None = None,
    group: Mapping[str, str] | None = None,
) -> Manifest:
    """Write images and one annotator's masks; the manifest is in `folder/who/manifest`."""
    root = folder / who
    samples = []
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        files = [Path(kind) / f"{name}.png" for kind in ("images", "masks")]
        Image.fromarray(image_of(name, *mask.shape)).save(root / files[0])
        Image.fromarray(mask).save(root / files[1])
        scene_name = (group or {}).get(name, name)
        samples.append(SampleFiles(name, files[0], files[1], "train", scene_name, annotator))
    manifest = build_manifest(ImportedFiles(samples, labels), root, who, {})
    manifest.write(root / "manifest")
    return manifest


def scene(number: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Ground with a tree and a car, the place of which depends on the number; a void corner."""
    mask = np.zeros((height, width), dtype=np.uint8)
    rng = np.random.default_rng(number)
    top, left = int(rng.integers(1, 6)), int(rng.integers(1, 8))
    mask[top : top + 10, left : left + 8] = 1
    mask[height - 9 : height - 3, width - 14 : width - 3] = 2
    mask[:2, -2:] = 255
    return mask


def careless(mask: np.ndarray, seed: int, share: float = 0.05) -> np.ndarray:
    """The mask as somebody draws it who picks another class on a share of the pixels."""
    rng = np.random.default_rng(seed)
    drawn, wrong = mask.copy(), rng.random(mask.shape) < share
    drawn[wrong] = rng.integers(0, 3, int(wrong.sum()))
    return drawn
