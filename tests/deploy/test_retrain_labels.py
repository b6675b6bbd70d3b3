"""New labels held against a champion that knows its classes: the brightest channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.bundle.loader import Bundle, load
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest
from seglab.deploy.retrain.labels import label_findings
from seglab.deploy.retrain.options import RetrainOptions
from tests.bundle.tiny import CLASSES, PALETTE, write_tiny_bundle

SWAP = np.array([0, 2, 1], np.uint8)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    weights = np.eye(3, dtype=np.float32)[..., None, None] / 16
    return load(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", weights, golden=False))


def labelled(folder: Path, names: dict[str, np.ndarray], blind: bool = False) -> Manifest:
    """Draw six images of 48x48 an annotator, labelled under the names of the classes he gives.

    `blind`: all that the model can see of them is of one class.
    """
    rng, samples = np.random.default_rng(0), []
    for annotator, table in names.items():
        for number in range(6):
            mask = rng.integers(0, 3, (4, 4), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
            shown = np.zeros_like(mask) if blind else mask
            image = rng.integers(0, 90, (48, 48, 3), dtype=np.uint8)
            np.put_along_axis(image, shown[..., None], 200, axis=2)
            place = folder / f"{annotator}{number}"
            Image.fromarray(image).save(place.with_suffix(".png"))
            Image.fromarray(table[mask]).save(folder / f"{place.name}_mask.png")
            files = (place.with_suffix(".png"), folder / f"{place.name}_mask.png")
            samples.append(SampleFiles(place.name, *files, "train", place.name, annotator))
    imported = ImportedFiles(samples, LabelSpace(CLASSES, PALETTE), are_upright=True)
    return build_manifest(imported, folder, "drawn", {})


def found(manifest: Manifest, champion: Bundle, **words: float) -> list[str]:
    where = str(manifest.root)
    return label_findings(RetrainOptions.read({"data": where, **words}), manifest, champion)[0]


def test_tells_whose_classes_are_renamed(champion: Bundle, tmp_path: Path) -> None:
    right = np.arange(3, dtype=np.uint8)
    (tmp_path / "all").mkdir()
    (tmp_path / "one").mkdir()
    (said,) = found(labelled(tmp_path / "all", {"ann": SWAP}), champion)
    assert "classes of 6 images look renamed (road for car, car for road)" in said
    mixed = labelled(tmp_path / "one", {"ann": right, "bea": right, "cid": right, "dan": SWAP})
    (said,) = found(mixed, champion, max_renamed=0.3)
    assert "classes of annotator dan look renamed" in said
    assert found(mixed, champion, max_renamed=0.8) == []
    (said,) = found(mixed, champion, max_renamed=0.8, max_label_errors=0.2)
    assert "regions of 6 of 24 newly labelled images" in said
    assert found(mixed, champion, max_renamed=0.8, max_label_errors=0.3) == []


def test_a_champion_that_fails_renames_nothing(champion: Bundle, tmp_path: Path) -> None:
    """As at night: it takes all for one class, though most of the labels are another."""
    mostly = np.array([1, 1, 1], np.uint8)
    assert found(labelled(tmp_path, {"ann": mostly}, blind=True), champion) == []
