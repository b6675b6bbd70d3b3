"""Images that EXIF turns: annotations land where the upright image shows them, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.annotations.format import LabelledImage, annotation_format, format_names
from seglab.annotations.vectorise import to_shapes
from seglab.core.labels import LabelSpace
from seglab.data.files.images import read_image
from seglab.data.files.masks import read_mask
from seglab.data.importers import import_dataset

LABELS = LabelSpace(("road", "car", "sign"))
UPRIGHT = np.kron([[0, 0, 1], [2, 0, 1]], np.ones((3, 4), np.uint8)).astype(np.uint8)
# How a camera that was held so stores an upright picture.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: np.rot90(UPRIGHT, 2).T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("name", format_names())
def test_annotations_lie_where_the_upright_image_shows_them(name: str, tmp_path: Path) -> None:
    annotation, root = annotation_format(name), tmp_path / "root"
    shapes = to_shapes(UPRIGHT, dict(enumerate(LABELS.class_names)), annotation.drawing, 255)
    for orientation, pixels in STORED.items():
        image = annotation.image_path(f"x{orientation}", ".png", "train")
        exif = Image.Exif()
        exif[0x0112] = orientation
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels * 100).convert("RGB").save(root / image, exif=exif)
        one = LabelledImage(image, *UPRIGHT.shape, shapes, UPRIGHT, "train")
        annotation.write(root, one, LABELS)
    annotation.finish(root, LABELS)
    importer = getattr(annotation, "importer", name)
    options = {} if importer == "voc" else {"class_names": list(LABELS.class_names)}
    options |= {"unlabelled": "void", "val_fraction": 0.0} if annotation.reads else {}
    manifest = import_dataset(importer, root, tmp_path / "out", "turned", options)
    rows = list(manifest.table.itertuples())
    assert len(rows) == len(STORED)
    for row in rows:
        mask = read_mask(root / str(row.mask), manifest.labels, manifest.mask_encoding)
        assert (read_image(root / str(row.image))[..., 0] == UPRIGHT * 100).all(), row.image
        assert (mask == UPRIGHT).all(), row.image
        assert not (annotation.reads and row.flags), "drawn masks are known to be upright"
