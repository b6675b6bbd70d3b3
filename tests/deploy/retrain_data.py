"""Tiny data sets for retraining: drawn, and spoilt as annotators and pipelines do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from seglab.core.disk.files import sha256_bytes
from seglab.data.importers.opening import import_dataset
from seglab.data.manifest import Manifest
from seglab.data.synth.storage import read_mask, write_mask


def drawn(folder: Path, seed: int, images: int = 24, test: float = 0.2) -> Path:
    """Draw scenes of 48x64 and return the folder of their manifest."""
    options = {"image_size": [48, 64], "num_images": images, "seed": seed}
    options |= {"frames_per_group": 1, "test_fraction": test, "val_fraction": 0.2}
    import_dataset("synth", folder, folder / "manifest", "synth", options)
    return folder / "manifest"


def with_swapped_labels(manifest: Path, folder: Path) -> Path:
    """Write a version whose training masks have every class taken for the next one."""
    found = Manifest.read(manifest)
    classes, rows = found.labels.num_classes, found.table.to_dict(orient="records")
    for row in rows:
        if row["split"] == "train":
            path = found.path(row["mask"])
            mask = read_mask(path)
            write_mask(path, np.where(mask < classes, (mask + 1) % classes, mask).astype(np.uint8))
            row["mask_sha256"] = sha256_bytes(path.read_bytes())
            pixels = list(row["class_pixels"])
            row["class_pixels"] = [pixels[classes - 1], *pixels[: classes - 1], pixels[classes]]
    found.with_table(pd.DataFrame(rows)).write(folder)
    return folder


def with_broken_masks(manifest: Path, count: int) -> None:
    """Overwrite training masks as an upload that broke off leaves them; one more is in quarantine."""
    found = Manifest.read(manifest)
    broken = found.split("train")[: count + 1]
    for name in broken["mask"]:
        path = found.path(name)
        path.write_bytes(path.read_bytes()[:60])
    rows = found.table.to_dict(orient="records")
    for row in rows:
        if row["sample_id"] == broken["sample_id"].iloc[-1]:
            row.update(keep=False, flags=["corrupt_mask"])
    found.with_table(pd.DataFrame(rows)).write(manifest)


def with_images_of(manifest: Path, other: Path, folder: Path) -> Path:
    """Write a version whose first training image shows one of another's test split, recompressed."""
    found, held_out = Manifest.read(manifest), Manifest.read(other)
    row = found.split("train").iloc[0]
    with Image.open(held_out.path(held_out.split("test").iloc[0]["image"])) as picture:
        picture.convert("RGB").save(found.path(row["image"]), "PNG")
        turned = picture.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        turned.save(found.path(row["image"]), "PNG")
    table = found.table.copy()
    content = found.path(row["image"]).read_bytes()
    table.loc[table["sample_id"] == row["sample_id"], "sha256"] = sha256_bytes(content)
    found.with_table(table).write(folder)
    return folder
