"""Every importer on a tiny tree of its layout, under one contract; and the ways to a manifest."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.format import LabelledImage, annotation_format
from seglab.annotations.vectorise import to_shapes
from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.core.labels import LabelSpace, voc_palette
from seglab.core.parts.components import components
from seglab.data.annotated.options import AnnotatedOptions
from seglab.data.importers import import_dataset, open_dataset, resolve_options
from seglab.data.importers.datasets.ade20k import CLASS_NAMES as ADE_NAMES
from seglab.data.importers.datasets.camvid import import_camvid
from seglab.data.importers.datasets.cityscapes import cityscapes_labels
from seglab.data.manifest import Manifest
from seglab.testing import ImporterContract

HEIGHT, WIDTH = 6, 8


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, values: list[int], palette: bool = False) -> None:
    """Write a mask that holds each of the values equally often, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.repeat(np.array(values, np.uint8), HEIGHT * WIDTH // len(values))
    image = Image.fromarray(pixels.reshape(HEIGHT, WIDTH))
    if palette:
        image = image.convert("P")
        image.putpalette([value for colour in voc_palette(256) for value in colour])
    image.save(path)


def make_camvid(root: Path) -> None:
    root.mkdir(exist_ok=True)
    for split, names in (("train", ["0001TP_1", "0001TP_2", "0016E5_3"]), ("val", ["0016E5_4"])):
        lines = []
        for number, name in enumerate(names):
            write_image(root / split / f"{name}.png", number)
            write_mask(root / f"{split}annot" / f"{name}.png", [0, 3, 11])
            lines.append(
                f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png"
            )
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")


def make_voc(root: Path) -> None:
    base = root / "VOCdevkit" / "VOC2012"
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in (
        ("train", ["2007_1", "2007_2"]),
        ("val", ["2007_3"]),
        ("test", ["2008_4"]),
    ):
        (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            write_image(base / "JPEGImages" / f"{name}.jpg")
            if split != "test":
                write_mask(base / "SegmentationClass" / f"{name}.png", [0, 15, 255], palette=True)


def make_cityscapes(root: Path) -> None:
    for split, city, frames in (
        ("train", "aachen", ["000000_000019", "000000_000020", "000001_000019"]),
        ("val", "ulm", ["000000_000019"]),
        ("test", "bonn", ["000000_000019"]),
    ):
        for frame in frames:
            name = f"{city}_{frame}"
            write_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
            mask = root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"
            write_mask(mask, [7, 33, 0, 4])


def make_ade20k(root: Path) -> None:
    base = root / "ADEChallengeData2016"
    for folder, names in (
        ("training", ["ADE_train_1", "ADE_train_2"]),
        ("validation", ["ADE_val_1"]),
    ):
        for name in names:
            write_image(base / "images" / folder / f"{name}.jpg")
            write_mask(base / "annotations" / folder / f"{name}.png", [0, 1, 150])
    (base / "sceneCategories.txt").write_text("ADE_train_1 airport_terminal\nADE_val_1 street\n")


def make_oxford_pet(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for breed, species in (("Abyssinian", 1), ("yorkshire_terrier", 2)):
        for number in range(6):
            name = f"{breed}_{number}"
            write_image(base / "images" / f"{name}.jpg", number)
            write_mask(base / "annotations" / "trimaps" / f"{name}.png", [1, 2, 3])
            line = f"{name} 1 {species} 1"
            lists["test" if number == 5 else "trainval"].append(line)
    for split, lines in lists.items():
        (base / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    everything = ["#Image CLASS-ID SPECIES BREED", *lists["trainval"], *lists["test"]]
    (base / "annotations" / "list.txt").write_text("\n".join(everything) + "\n")


def make_folder(root: Path) -> None:
    for number in range(10):
        write_image(root / "images" / f"s{number // 2}_{number}.jpg", number)
        write_mask(root / "masks" / f"s{number // 2}_{number}.png", [0, 1, 2, 255])


def make_mmseg(root: Path) -> None:
    for split, names in (
        ("train", ["a_img", "b_img", "c_img"]),
        ("val", ["d_img"]),
        ("test", ["e_img"]),
    ):
        for number, name in enumerate(names):
            write_image(root / "img_dir" / split / "city" / f"{name}.png", number)
            if split != "test":
                mask = name.replace("_img", "_labelTrainIds")
                write_mask(root / "ann_dir" / split / "city" / f"{mask}.png", [0, 1, 2, 255])


def make_nnunet(root: Path) -> None:
    for number in range(6):
        part = "Tr" if number < 5 else "Ts"
        write_image(root / f"images{part}" / f"p{number // 2}_s{number}_0000.png", number)
        if part == "Tr":
            write_mask(root / "labelsTr" / f"p{number // 2}_s{number}.png", [0, 1, 2, 3])
    told = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "road": 1, "roof": [2], "ignore": 3},
        "numTraining": 5,
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(told))


class OurImporterContract(ImporterContract):
    """An importer of the registry; a subclass says how to make its tree and what is in it."""

    importer: ClassVar[str]
    make: ClassVar[Callable[[Path], None]]
    options: ClassVar[dict[str, Any]] = {}
    # Pixels of each class that occurs in a mask, by name, then those ignored.
    pixels: ClassVar[dict[str, int]]
    ignored: ClassVar[int]

    def write_data(self, root: Path) -> None:
        type(self).make(root)

    def read(self, root: Path, out: Path) -> Manifest:
        return import_dataset(self.importer, root, out, "tiny", self.options)

    @pytest.fixture(name="root")
    def _root(self) -> Path:
        return self.root

    @pytest.fixture
    def manifest(self) -> Manifest:
        return self.imported

    def test_pixels_are_those_drawn(self, manifest: Manifest) -> None:
        names = manifest.labels.class_names
        assert manifest.table["keep"].all()
        assert manifest.provenance["importer"] == self.importer
        for row in manifest.table.itertuples():
            assert (row.mask is None) == (row.split == "unlabeled")
            if row.mask is None:
                continue
            assert (row.height, row.width) == (HEIGHT, WIDTH)
            *counts, ignored = row.class_pixels
            found = {name: count for name, count in zip(names, counts, strict=True) if count}
            assert (found, ignored) == (self.pixels, self.ignored)

    def test_relative_root_works(
        self, root: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(root.parent)
        again = self.read(Path(root.name), self.folder / "two")
        assert again.fingerprint == manifest.fingerprint
        assert again.root == root

    def test_wrong_root_is_refused_by_name(self) -> None:
        super().test_wrong_root_is_refused_by_name()
        if self.makes_data:
            return
        for root, expected in (("empty", r"holds notes\.md"), ("gone", "gone is no folder")):
            with pytest.raises(DataNotFoundError, match=expected):
                self.read(self.folder / root, self.folder / "out")


class TestCamvid(OurImporterContract):
    importer = "camvid"
    make = staticmethod(make_camvid)
    splits: ClassVar = {"train": 3, "val": 1}
    pixels: ClassVar = {"sky": 16, "road": 16}
    ignored = 16
    looked_for = "train.txt"

    def test_group_is_the_drive(self, manifest: Manifest) -> None:
        assert manifest.table["group"].tolist() == ["0001TP", "0001TP", "0016E5", "0016E5"]

    def test_missing_test_list_is_noted(self, manifest: Manifest) -> None:
        assert manifest.provenance["notes"] == ["no test.txt: the test split is empty"]


class TestVoc(OurImporterContract):
    importer = "voc"
    make = staticmethod(make_voc)
    splits: ClassVar = {"train": 2, "val": 1, "unlabeled": 1}
    pixels: ClassVar = {"background": 16, "person": 16}
    ignored = 16
    looked_for = "ImageSets/Segmentation/train.txt"

    def test_palette_is_the_known_one(self) -> None:
        assert voc_palette(21)[15] == (192, 128, 128)
        assert voc_palette(21)[20] == (0, 64, 128)


class TestCityscapes(OurImporterContract):
    importer = "cityscapes"
    make = staticmethod(make_cityscapes)
    splits: ClassVar = {"train": 3, "val": 1, "unlabeled": 1}
    pixels: ClassVar = {"road": 12, "bicycle": 12}
    ignored = 24
    looked_for = "leftImg8bit"

    def test_group_is_city_and_sequence(self, manifest: Manifest) -> None:
        groups = manifest.split("train")["group"].tolist()
        assert groups == ["aachen_000000", "aachen_000000", "aachen_000001"]

    def test_nineteen_of_thirty_four_ids_count(self) -> None:
        values = list(cityscapes_labels().raw_ids.values())
        assert sorted(value for value in values if value != 255) == list(range(19))
        assert values.count(255) == 15


class TestAde20k(OurImporterContract):
    importer = "ade20k"
    make = staticmethod(make_ade20k)
    splits: ClassVar = {"train": 2, "val": 1}
    pixels: ClassVar = {"wall": 16, "flag": 16}
    ignored = 16
    looked_for = "images/training"

    def test_scene_becomes_a_tag(self, manifest: Manifest) -> None:
        assert manifest.table["tags"].tolist() == [["airport_terminal"], [], ["street"]]

    def test_names_come_from_the_data_set_if_it_has_them(self, root: Path, tmp_path: Path) -> None:
        info = root / "ADEChallengeData2016" / "objectInfo150.txt"
        lines = [f"{i + 1}\t0.1\t1\t1\t{name}, thing" for i, name in enumerate(ADE_NAMES)]
        lines[1] = "2\t0.1\t1\t1\twall, edifice"
        info.write_text("Idx\tRatio\tTrain\tVal\tName\n" + "\n".join(lines) + "\n")
        manifest = import_dataset("ade20k", root, tmp_path / "out", "tiny")
        assert manifest.labels.class_names[:3] == ("wall", "wall, edifice", "sky")
        info.write_text("Idx\tName\n1\twall\n")
        with pytest.raises(DataError, match="expected a header and 150 classes, got 1"):
            import_dataset("ade20k", root, tmp_path / "out", "tiny")


class TestOxfordPet(OurImporterContract):
    importer = "oxford_pet"
    make = staticmethod(make_oxford_pet)
    splits: ClassVar = {"train": 8, "val": 2, "test": 2}
    pixels: ClassVar = {"pet": 16, "background": 16, "border": 16}
    ignored = 0
    looked_for = "annotations/trimaps"

    def test_validation_holds_every_breed(self, manifest: Manifest) -> None:
        tags = manifest.split("val")["tags"].tolist()
        assert tags == [["Abyssinian", "cat"], ["yorkshire_terrier", "dog"]]

    def test_unknown_target_is_refused(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="did you mean 'binary'"):
            import_dataset("oxford_pet", root, tmp_path, "tiny", {"target": "binry"})

    def test_list_alone_is_split_too(self, root: Path, tmp_path: Path) -> None:
        (root / "oxford-iiit-pet" / "annotations" / "test.txt").unlink()
        manifest = import_dataset("oxford_pet", root, tmp_path / "out", "tiny")
        assert manifest.splits() == {"train": 10, "val": 2, "test": 0, "unlabeled": 0}


class TestOxfordPetBinary(TestOxfordPet):
    options: ClassVar = {"target": "binary"}
    pixels: ClassVar = {"pet": 16, "background": 16}
    ignored = 16


class TestFolder(OurImporterContract):
    importer = "folder"
    make = staticmethod(make_folder)
    options: ClassVar = {"class_names": ["a", "b", "c"], "group_pattern": r"^(s\d+)_"}
    splits: ClassVar = {"train": 8, "val": 2}
    pixels: ClassVar = {"a": 12, "b": 12, "c": 12}
    ignored = 12
    looked_for = "images"

    def test_no_group_straddles(self, manifest: Manifest) -> None:
        assert manifest.table.groupby("group")["split"].nunique().max() == 1


class TestMmseg(OurImporterContract):
    importer = "mmseg"
    make = staticmethod(make_mmseg)
    options: ClassVar = {
        "class_names": ["road", "car"],
        "reduce_zero_label": True,
        "img_suffix": "_img.png",
        "seg_map_suffix": "_labelTrainIds.png",
    }
    splits: ClassVar = {"train": 3, "val": 1, "unlabeled": 1}
    pixels: ClassVar = {"road": 12, "car": 12}
    ignored = 24
    looked_for = "img_dir"


class TestNnunet(OurImporterContract):
    importer = "nnunet"
    make = staticmethod(make_nnunet)
    options: ClassVar = {"group_pattern": r"^(p\d+)_"}
    splits: ClassVar = {"train": 4, "val": 1, "unlabeled": 1}
    pixels: ClassVar = {"background": 12, "road": 12, "roof": 12}
    ignored = 12
    looked_for = "dataset.json"

    def test_no_patient_straddles(self, manifest: Manifest) -> None:
        splits = manifest.table.groupby("group")["split"].unique()
        assert [sorted(found) for found in splits] == [["train"], ["train"], ["unlabeled", "val"]]


class TestSynth(OurImporterContract):
    importer = "synth"
    makes_data = True
    options: ClassVar = {"num_images": 3, "image_size": [48, 64], "frames_per_group": 1}

    def test_pixels_are_those_drawn(self, manifest: Manifest) -> None:
        assert set(zip(manifest.table["height"], manifest.table["width"], strict=True)) == {
            (48, 64)
        }


ANNOTATED = [
    name
    for name, options in components("importer").items()
    if issubclass(options, AnnotatedOptions)
]


class TestAnnotated(OurImporterContract):
    """Importers that draw the masks themselves, each on what its own format writes."""

    options: ClassVar = {"unlabelled": "void", "class_names": ["road", "car"]}
    pixels: ClassVar = {"road": 12, "car": 12}
    ignored = 24

    @pytest.fixture(autouse=True, params=ANNOTATED)
    def _of_format(self, request: pytest.FixtureRequest) -> None:
        self.importer = request.param

    def write_data(self, root: Path) -> None:
        mask = np.full((6, 8), 255, np.uint8)
        mask[:3, :4], mask[3:, :4] = 0, 1
        labels = LabelSpace(("road", "car"))
        annotation = annotation_format(self.importer)
        for number, split in enumerate(("train", "train", "train", "val", "val")):
            image = annotation.image_path(f"ulm_000000_{number:06}", ".png", split)
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(root / image)
            shapes = to_shapes(mask, {0: "road", 1: "car"}, annotation.drawing, 255)
            annotation.write(root, LabelledImage(image, 6, 8, shapes, mask, split), labels)
        annotation.finish(root, labels)

    def test_raw_root_is_not_written_to(self) -> None:
        """Only the masks, in a folder of their own."""
        before = set(self.root.rglob("*"))
        self.read(self.root, self.folder / "out")
        new = {path.relative_to(self.root).parts[0] for path in set(self.root.rglob("*")) - before}
        assert new == {".seglab-masks"}

    def test_lost_mask_is_named(self) -> None:
        """A lost mask is drawn again."""
        lost = self.root / self.imported.split("train")["mask"].iloc[0]
        lost.unlink()
        again = self.read(self.root, self.folder / "two")
        assert lost.is_file()
        assert again.fingerprint == self.imported.fingerprint


def test_every_importer_is_under_contract() -> None:
    tested = {
        value.importer
        for value in globals().values()
        if isinstance(value, type)
        and issubclass(value, OurImporterContract)
        and "importer" in vars(value)
    } | set(ANNOTATED)
    missing = [name for name in components("importer") if name not in tested]
    assert not missing, (
        f"importers {', '.join(missing)} have no contract test: add a class that inherits "
        "OurImporterContract to tests/data/test_importers.py"
    )


def open_tiny(tmp_path: Path, **changes: Any) -> Manifest:
    content: dict[str, Any] = {
        "name": "tiny",
        "importer": "camvid",
        "root": tmp_path / "raw",
        "manifest": None,
        "options": {},
        "data_dir": tmp_path / "data",
    }
    return open_dataset(**content | changes)


def test_open_imports_once_and_then_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_camvid(tmp_path / "raw")
    first = open_tiny(tmp_path)
    folders = [path.name for path in (tmp_path / "data" / "manifests").iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert folders[0].startswith("tiny-")
    monkeypatch.setattr("seglab.data.importers.opening.build_manifest", None)
    assert open_tiny(tmp_path).fingerprint == first.fingerprint
    # The same options spelt out are the same data set.
    assert open_tiny(tmp_path, options={"group_by_drive": True}).fingerprint == first.fingerprint


def test_open_with_other_options_is_another_manifest(tmp_path: Path) -> None:
    make_camvid(tmp_path / "raw")
    first, second = open_tiny(tmp_path), open_tiny(tmp_path, options={"group_by_drive": False})
    assert first.table["group"].nunique() == 2
    assert second.table["group"].nunique() == 4


def test_two_at_once_import_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_camvid(tmp_path / "raw")
    calls: list[str] = []

    def counted(root: Path, *, group_by_drive: bool = True) -> Any:
        calls.append(threading.current_thread().name)
        return import_camvid(root, group_by_drive=group_by_drive)

    monkeypatch.setattr("seglab.data.importers.datasets.camvid.import_camvid", counted)
    threads = [threading.Thread(target=open_tiny, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert open_tiny(tmp_path).splits()["train"] == 3


def test_reuse_lists_all_files_that_are_gone(tmp_path: Path) -> None:
    make_camvid(tmp_path / "raw")
    open_tiny(tmp_path)
    (tmp_path / "raw" / "train" / "0001TP_1.png").unlink()
    (tmp_path / "raw" / "valannot" / "0016E5_4.png").unlink()
    with pytest.raises(DataNotFoundError, match="2 of 4 samples are faulty") as caught:
        open_tiny(tmp_path)
    assert "train/0001TP_1.png" in str(caught.value)
    assert "valannot/0016E5_4.png" in str(caught.value)
    (tmp_path / "raw").rename(tmp_path / "moved")
    with pytest.raises(DataNotFoundError, match=r"its root .*raw is not there; set data\.root"):
        open_tiny(tmp_path)


def test_explicit_manifest_wins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_camvid(tmp_path / "raw")
    manifest = import_dataset("camvid", tmp_path / "raw", tmp_path / "out", "mine")
    smaller = manifest.with_table(manifest.table.assign(keep=[True, False, True, True]))
    path = smaller.write(tmp_path / "out")
    opened = open_tiny(tmp_path, manifest=path, importer="nonsense", root=None)
    assert opened.fingerprint == smaller.fingerprint
    for root in (tmp_path / "raw", tmp_path / "other"):
        open_tiny(tmp_path, manifest=path, root=root)
    [told] = [r.getMessage() for r in caplog.records if "is not used" in r.getMessage()]
    assert told.startswith(f"data.root={tmp_path / 'other'} is not used: the files of the manifest")
    (tmp_path / "raw").rename(tmp_path / "moved")
    moved = open_tiny(tmp_path, manifest=path, root=tmp_path / "moved")
    assert (moved.root, moved.fingerprint) == (tmp_path / "moved", smaller.fingerprint)


def test_root_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"importer 'camvid' needs data\.root"):
        open_tiny(tmp_path, root=None)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_read_only_root_is_enough(tmp_path: Path) -> None:
    make_camvid(tmp_path / "raw")
    (tmp_path / "raw").chmod(0o555)
    assert open_tiny(tmp_path).splits()["train"] == 3


def test_unknown_importer_and_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown importer 'camvit' \(did you mean 'camvid'"):
        resolve_options("camvit", {})
    with pytest.raises(ConfigError) as caught:
        resolve_options(
            "folder", {"class_name": ["a"], "binary": "yes", "seed": 1.5, "masks": None}
        )
    assert caught.value.problems == [
        "data.options.binary: expected true or false, got 'yes'",
        "data.options.seed: expected a whole number (0 or more), got 1.5",
        "data.options.class_name: no such key (did you mean 'data.options.class_names'?), got ['a']; "
        "'data.options' takes allow_unlabeled, binary, class_names, group_pattern, ignore_colour, "
        "ignore_index, images, lists, mask_encoding, masks, palette, raw_ids, seed, split, "
        "test_fraction, val_fraction",
    ]


def test_defaults_are_filled_in_and_containers_made_plain() -> None:
    options = resolve_options("folder", {"class_names": ("a", "b"), "val_fraction": 0})
    assert options["class_names"] == ["a", "b"]
    assert (options["val_fraction"], options["images"]) == (0, "images")


@pytest.mark.slow
def test_real_camvid_is_as_its_readme_says(shared: Path, tmp_path: Path) -> None:
    manifest = import_dataset("camvid", shared / "data" / "camvid", tmp_path, "camvid")
    assert manifest.splits() == {"train": 367, "val": 101, "test": 0, "unlabeled": 0}
    groups = manifest.split("train")["group"].value_counts().to_dict()
    assert groups == {"0016E5": 204, "0006R0": 101, "0001TP": 62}
    assert set(manifest.split("val")["group"]) == {"0016E5"}
    assert set(zip(manifest.table["height"], manifest.table["width"], strict=True)) == {(360, 480)}
