"""The contract of an annotation format: what it writes it reads back, and it never leaves its folder."""

from __future__ import annotations

import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.annotations.format import AnnotationFormat, LabelledImage
from seglab.annotations.reading import Limits, Tree
from seglab.annotations.shapes import AnnotatedImage, Annotations
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.files.image_files import IMAGE_SUFFIXES
from seglab.testing.contract import Contract, expect_error

_VOID = 255
_LABELS = LabelSpace(("road", "car", "sign"))


class AnnotationContract(Contract):
    """What is asked of a format, both ways.

    `build` is supplied with nothing and returns the format.

    Attributes:
        is_exact: Whether every label map is kept at tolerance 0, holes and specks included.
        tells_unannotated: Whether an image that nobody annotated is told from one annotated as empty.
        states_size: Whether an annotation says for which size of image it is.
    """

    is_exact = True
    tells_unannotated = True
    states_size = True
    void: frozenset[str] = frozenset()

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="annotation-")

    @cached_property
    def places(self) -> dict[str, str]:
        """Name by path of the images that were written."""
        return {}

    @property
    def root(self) -> Path:
        """An empty folder for this test."""
        return Path(self._temporary.name).resolve()

    def teardown_method(self) -> None:
        """Remove what was written."""
        self._temporary.cleanup()

    @cached_property
    def annotation(self) -> AnnotationFormat:
        """The format under test."""
        made: AnnotationFormat = self.build()
        return made

    def write(self, masks: dict[str, np.ndarray | None], tolerance: float = 0.0) -> None:
        """Write images of masks (None: not annotated; then 6 x 8 pixels) below the root."""
        names = dict(enumerate(_LABELS.class_names))
        for name, mask in masks.items():
            height, width = (6, 8) if mask is None else mask.shape
            image = self.annotation.image_path(name, ".png", "train")
            self.places[image] = name
            (self.root / image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, height)).save(self.root / image)
            shapes = None
            if mask is not None:
                shapes = to_shapes(mask, names, self.annotation.drawing, _VOID, tolerance)
            one = LabelledImage(image, height, width, shapes, mask, "train")
            self.annotation.write(self.root, one, _LABELS)
        self.annotation.finish(self.root, _LABELS)

    def tree(self, limits: Limits | None = None) -> Tree:
        """Return what lies below the root."""
        images = sorted(
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if path.suffix in IMAGE_SUFFIXES
        )
        return Tree(self.root, images, *([limits] if limits else []))

    def drawn(self, one: AnnotatedImage, height: int, width: int) -> np.ndarray:
        """Return an annotated image as a label map."""
        canvas = self.annotation.canvas(height, width, _VOID)
        values = dict.fromkeys(self.void, _VOID)
        values |= {name: value for value, name in enumerate(_LABELS.class_names)}
        for shape in one.load(height, width):
            if shape.label in values:
                canvas.draw(shape, values[shape.label])
        return np.array(canvas.pixels)

    def read(self) -> dict[str, AnnotatedImage]:
        """Read the root; return its images by name."""
        found = self.annotation.read(self.tree())
        assert not found.faults, f"expected no faults, got {found.faults}"
        self.void = found.void
        return {self.places[one.image]: one for one in found.images}

    def test_round_trip_at_tolerance_0(self) -> None:
        if not self.annotation.reads:
            return
        masks = _masks() if self.is_exact else {"blocks": _masks()["blocks"]}
        self.write(dict(masks))
        read = self.read()
        for name, mask in masks.items():
            drawn = self.drawn(read[name], *mask.shape)
            wrong = int((drawn != mask).sum())
            assert not wrong, f"{name}: expected every pixel back, {wrong} of {mask.size} differ"

    def test_no_gaps_between_neighbours_at_tolerance_1(self) -> None:
        if not self.annotation.reads:
            return
        mask = _waves()
        hole = mask.copy()
        hole[14:22, 26:34] = _VOID
        self.write({"waves": mask, "hole": hole}, tolerance=1.0)
        drawn = self.drawn(self.read()["hole"], *mask.shape)
        lost = float((drawn[15:21, 27:33] != _VOID).mean())
        assert not lost, (
            f"expected a hole with nothing in it to stay one, {lost:.0%} of it is filled"
        )
        drawn = self.drawn(self.read()["waves"], *mask.shape)
        bare = int((drawn == _VOID).sum())
        assert not bare, f"expected neighbours to meet, {bare} pixels between them are bare"
        # A band of a pixel on either side of the outlines may change hands.
        share = float((drawn == mask).mean())
        assert share > 0.9, f"expected nearly all pixels back, got {share:.1%}"

    def test_empty_is_not_unannotated(self) -> None:
        if not self.annotation.reads:
            return
        full = _masks()["blocks"]
        self.write({"some": full, "empty": np.full((6, 8), _VOID, np.uint8), "none": None})
        read = self.read()
        assert read["empty"].annotated, "expected an image without shapes to count as annotated"
        assert not read["empty"].load(6, 8), "expected no shapes on it"
        if self.tells_unannotated:
            there = "none" in read and read["none"].annotated
            assert not there, "expected an image that nobody annotated not to count as annotated"

    def test_size_of_another_image_is_refused(self) -> None:
        """Coordinates of an image of another size, or not turned upright, would be silently wrong."""
        if not self.annotation.reads:
            return
        self.write({"some": _masks()["holes"]})
        (one,) = self.read().values()
        height, width = _masks()["holes"].shape
        if not self.states_size:
            one.load(width, height)
            return
        with expect_error(DataError, one.source or one.image):
            one.load(width, height)

    def test_too_large_a_file_is_refused(self) -> None:
        if not self.annotation.reads:
            return
        self.write({"some": _masks()["blocks"]})
        assert _refuses(self.annotation, self.tree(Limits(file_bytes=3))), (
            "expected files beyond the limit to be refused, by name"
        )

    def test_wrong_root_is_refused(self) -> None:
        if not self.annotation.reads:
            return
        (self.root / "notes.md").write_text("x")
        Image.new("RGB", (8, 6)).save(self.root / "a.png")
        with expect_error(DataError):
            found = self.annotation.read(self.tree())
            if not any(one.annotated for one in found.images) and found.faults:
                raise DataError("; ".join(found.faults.values()))

    def test_names_never_lead_outside(self) -> None:
        """Annotations of images that lie beside the root are faults, not samples."""
        if not self.annotation.reads:
            return
        inside = self.root / "inside"
        self.write({"some": _masks()["blocks"]})
        inside.mkdir()
        for path in list(self.root.iterdir()):
            if path != inside and not path.suffix.endswith("png") and path.is_file():
                shutil.move(path, inside / path.name)
        tree = Tree(inside, [])
        try:
            found = self.annotation.read(tree)
        except DataError:
            return
        assert not found.images, f"expected no image from outside, got {found.images[0].image}"


def _refuses(annotation: AnnotationFormat, tree: Tree) -> bool:
    try:
        found: Annotations = annotation.read(tree)
        for one in found.images:
            if one.annotated:
                one.load(12, 16)
    except DataError:
        return True
    return bool(found.faults) or not any(one.annotated for one in found.images)


def _masks() -> dict[str, np.ndarray]:
    """Return label maps that formats lose: neighbours, holes, specks, parts, diagonals, the border."""
    blocks = np.full((12, 16), 0, np.uint8)
    blocks[:, 8:], blocks[6:, :8] = 1, 2
    holes = np.full((11, 13), _VOID, np.uint8)
    holes[1:10, 1:12] = 0
    holes[3:8, 3:10] = 1
    holes[5, 5:7] = _VOID
    holes[0, 0] = holes[10, 12] = holes[4, 4] = 2
    rng: Any = np.random.default_rng(0)
    noise = rng.choice(np.array([0, 1, 2, _VOID], np.uint8), (9, 14))
    return {"blocks": blocks, "holes": holes, "noise": noise}


def _waves() -> np.ndarray:
    """Return three classes that meet along wavy lines and cover the image, uint8 `(40, 60)`."""
    y, x = np.mgrid[:40, :60]
    mask = (y > 20 + 6 * np.sin(x / 5)).astype(np.uint8)
    mask[(x - 30) ** 2 + (y - 18) ** 2 < 90] = 2
    return mask
