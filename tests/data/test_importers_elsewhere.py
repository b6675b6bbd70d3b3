"""Data of other tools, as they write it: nnU-Net, mmsegmentation and the data YAML of Ultralytics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, DataError, DataNotFoundError, LabelError
from seglab.data.files.masks import read_mask
from seglab.data.importers import import_dataset, open_dataset
from seglab.data.manifest import Manifest
from tests.data.test_importers import make_mmseg, make_nnunet, write_image, write_mask

MMSEG: dict[str, Any] = {
    "class_names": ["road", "car"],
    "img_suffix": "_img.png",
    "seg_map_suffix": "_labelTrainIds.png",
    "reduce_zero_label": True,
}


def imported(importer: str, root: Path, **options: Any) -> Manifest:
    return import_dataset(importer, root, root.parent / "out", "tiny", options)


@pytest.fixture
def nnunet(tmp_path: Path) -> Path:
    make_nnunet(tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def mmseg(tmp_path: Path) -> Path:
    make_mmseg(tmp_path / "raw")
    return tmp_path / "raw"


def change(root: Path, **changes: Any) -> None:
    """Change dataset.json; None takes a key out."""
    file = root / "dataset.json"
    told = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: one for key, one in told.items() if one is not None}))


def add_channel(root: Path) -> None:
    for number, image in enumerate(sorted(root.rglob("*_0000.png"))):
        plane = np.full((6, 8), 1000 * number, np.uint16)
        Image.fromarray(plane).save(image.with_name(image.name.replace("_0000", "_0001")))
    change(root, channel_names={"0": "R", "1": "G", "2": "B", "3": "nir"})


def test_channels_of_a_case_are_stacked_in_their_order(nnunet: Path, tmp_path: Path) -> None:
    add_channel(nnunet)
    manifest = imported("nnunet", nnunet)
    assert manifest.provenance["bands"] == {"count": 4, "dtype": "uint16"}
    row = manifest.table.set_index("sample_id").loc["p1_s2"]
    pixels = np.load(nnunet / row["image"])
    colours = np.asarray(Image.open(nnunet / "imagesTr" / "p1_s2_0000.png"))
    assert np.array_equal(pixels[..., :3], colours)
    assert (pixels[..., 3] == 2000).all()
    assert manifest.splits() == {"train": 4, "val": 1, "test": 0, "unlabeled": 1}


def test_changed_channel_is_noticed(nnunet: Path, tmp_path: Path) -> None:
    add_channel(nnunet)
    opened: dict[str, Any] = {
        "name": "tiny",
        "importer": "nnunet",
        "root": nnunet,
        "manifest": None,
        "options": {},
    }
    first = open_dataset(**opened, data_dir=tmp_path / "data")
    Image.fromarray(np.full((6, 8), 77, np.uint16)).save(nnunet / "imagesTr" / "p0_s0_0001.png")
    again = open_dataset(**opened, data_dir=tmp_path / "data")
    assert again.fingerprint != first.fingerprint
    assert np.load(nnunet / again.table["image"].iloc[0])[0, 0, 3] == 77


def test_version_1_has_labels_the_other_way_round(nnunet: Path) -> None:
    told = {"0": "background", "1": "road", "2": "roof", "3": "ignore"}
    change(nnunet, labels=told, modality={"0": "R", "1": "G", "2": "B"}, channel_names=None)
    change(nnunet, file_ending=None)
    manifest = imported("nnunet", nnunet)
    assert manifest.labels.class_names == ("background", "road", "roof")
    assert manifest.labels.raw_ids == {0: 0, 1: 1, 2: 2, 3: 255}


def test_regions_that_do_not_overlap_are_classes(nnunet: Path) -> None:
    change(nnunet, labels={"background": 0, "tumour": [1, 3], "edema": 2})
    manifest = imported("nnunet", nnunet)
    assert manifest.labels.class_names == ("background", "tumour", "edema")
    assert [list(one) for one in manifest.split("val")["class_pixels"]] == [[12, 24, 12, 0]]


def test_regions_that_overlap_are_refused_and_can_be_named_apart(nnunet: Path) -> None:
    change(nnunet, labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3})
    with pytest.raises(
        LabelError, match=r"(?s)overlap.*2 is whole and core.*data\.options\.labels="
    ):
        imported("nnunet", nnunet)
    names = {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}
    assert imported("nnunet", nnunet, labels=names).labels.class_names == tuple(names)


def test_folds_are_those_of_nnunet(nnunet: Path) -> None:
    folds = [
        {"train": ["p0_s0"], "val": ["p1_s2"]},
        {"train": ["p1_s2", "p0_s1"], "val": ["p2_s4"]},
    ]
    (nnunet / "splits_final.json").write_text(json.dumps(folds))
    manifest = imported("nnunet", nnunet, fold=1)
    assert manifest.split("train")["sample_id"].tolist() == ["p0_s1", "p1_s2"]
    assert manifest.split("val")["sample_id"].tolist() == ["p2_s4"]
    assert "2 cases are not in that fold and left out" in manifest.provenance["notes"]
    with pytest.raises(ConfigError, match="has 2 folds, counted from 0, got 2"):
        imported("nnunet", nnunet, fold=2)
    folds[0]["val"] = ["p9"]
    (nnunet / "splits_final.json").write_text(json.dumps(folds))
    with pytest.raises(DataNotFoundError, match=r"(?s)not in imagesTr:.*val: p9"):
        imported("nnunet", nnunet)


def test_labelled_test_cases_are_the_test_split(nnunet: Path) -> None:
    write_mask(nnunet / "labelsTs" / "p2_s5.png", [0, 1, 2, 3])
    assert imported("nnunet", nnunet).splits()["test"] == 1


def test_cases_that_dataset_json_lists_are_those(nnunet: Path) -> None:
    cases = {
        f"case{number}": {
            "images": [f"imagesTr/p{number // 2}_s{number}_0000.png"],
            "label": f"./labelsTr/p{number // 2}_s{number}.png",
        }
        for number in range(3)
    }
    change(nnunet, dataset=cases)
    manifest = imported("nnunet", nnunet)
    assert manifest.table["sample_id"].tolist() == ["case0", "case1", "case2", "p2_s5"]


def spoil_channel(root: Path) -> None:
    add_channel(root)
    (root / "imagesTr" / "p1_s3_0001.png").unlink()


def spoil_all_channels(root: Path) -> None:
    change(root, channel_names={"0": "R", "1": "G", "2": "B", "3": "nir"})


def spoil_size(root: Path) -> None:
    add_channel(root)
    Image.new("L", (3, 3)).save(root / "imagesTr" / "p0_s0_0001.png")


def spoil_name(root: Path) -> None:
    write_image(root / "imagesTr" / "extra.png")


def spoil_value(root: Path) -> None:
    write_mask(root / "labelsTr" / "p0_s0.png", [0, 1, 2, 7])


def spoil_labels(root: Path) -> None:
    change(root, labels=None)


def spoil_one_label(root: Path) -> None:
    change(root, labels={"background": 0, "road": "one"})


def make_volumes(root: Path) -> None:
    change(root, file_ending=".nii.gz")


def make_old_volumes(root: Path) -> None:
    change(root, file_ending=None)
    for image in (root / "imagesTr").iterdir():
        image.rename(image.with_name(image.name.replace(".png", ".nii.gz")))


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (spoil_channel, DataNotFoundError, r"(?s)2 files, one a channel.*imagesTr/p1_s3_0001\.png"),
        (spoil_all_channels, DataError, r"names 4 channels \(R, G, B, nir\), and p0_s0_0000\.png hold 3"),
        (spoil_size, DataError, r"(?s)p0_s0: its channels differ in size.*6 x 8.*3 x 3"),
        (spoil_name, DataError, r"(?s)without the number of a channel.*extra\.png"),
        (spoil_value, DataError, r"p0_s0\.png: unknown mask values 7"),
        (spoil_labels, DataError, r"dataset\.json: expected labels such as"),
        (spoil_one_label, DataError, "road: expected the value in the masks, or a list of values, got 'one'"),
        (make_volumes, DataError, r"end in \.nii\.gz: seglab segments 2D images"),
        (make_old_volumes, DataError, r"end in \.nii\.gz: seglab segments 2D images"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_data_set_of_nnunet_is_said(
    nnunet: Path, spoil: Any, error: type[Exception], told: str
) -> None:
    spoil(nnunet)
    with pytest.raises(error, match=told):
        imported("nnunet", nnunet)


def as_mmsegmentation(raw: np.ndarray) -> np.ndarray:
    """As `LoadAnnotations` of mmsegmentation 1.2.2 does with `reduce_zero_label`."""
    mask = raw.copy()
    mask[mask == 0] = 255
    mask = mask - 1
    mask[mask == 254] = 255
    return mask


def test_zero_label_is_reduced_as_mmsegmentation_does(mmseg: Path) -> None:
    manifest = imported("mmseg", mmseg, **MMSEG)
    for row in manifest.split("train").itertuples():
        raw = np.asarray(Image.open(mmseg / str(row.mask)))
        mask = read_mask(mmseg / str(row.mask), manifest.labels)
        assert np.array_equal(mask, as_mmsegmentation(raw))
    assert "raw k is class k - 1" in manifest.provenance["mask_values"]


def test_zero_label_is_a_class_where_it_is_not_reduced(mmseg: Path) -> None:
    names = ["other", "road", "car"]
    manifest = imported(
        "mmseg", mmseg, **MMSEG | {"reduce_zero_label": False, "class_names": names}
    )
    assert manifest.labels.raw_ids == {0: 0, 1: 1, 2: 2, 255: 255}


def test_lists_name_the_images_of_a_split(mmseg: Path) -> None:
    (mmseg / "splits").mkdir()
    for split, names in (("train", ["train/city/a", "train/city/c"]), ("val", ["val/city/d"])):
        (mmseg / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    options = {"lists": "splits/{split}.txt", "images": "img_dir", "masks": "ann_dir"}
    manifest = imported("mmseg", mmseg, **MMSEG | options)
    assert manifest.split("train")["image"].tolist() == [
        "img_dir/train/city/a_img.png",
        "img_dir/train/city/c_img.png",
    ]
    assert manifest.provenance["notes"][0] == "no test split"


def test_split_may_be_called_training(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        write_image(tmp_path / "raw" / "images" / split / "a.jpg")
        write_mask(tmp_path / "raw" / "annotations" / split / "a.png", [0, 1])
    options = {
        "images": "images/{split}",
        "masks": "annotations/{split}",
        "class_names": ["a", "b"],
    }
    manifest = imported("mmseg", tmp_path / "raw", **options)
    assert manifest.table["sample_id"].tolist() == ["training/a", "validation/a"]
    assert manifest.table["split"].tolist() == ["train", "val"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"class_names": None}, ConfigError, r"METAINFO.*The masks hold 0 \("),
        ({"img_suffix": ".jpg"}, DataNotFoundError, r"ends in \.jpg; its 3 images end in \.png"),
        ({"seg_map_suffix": ".png"}, DataNotFoundError, r"ann_dir/train/city/a\.png: no such file"),
        ({"class_names": ["road"]}, LabelError, "expected 2 to 255 classes"),
        (
            {"class_names": ["x", "y"], "reduce_zero_label": False},
            DataError,
            r"unknown mask values 2; known are \[0, 1, 255\]",
        ),
        ({"images": "img_dir"}, ConfigError, "is one folder for all splits; give lists too"),
        ({"images": "pictures/{split}"}, DataNotFoundError, "expected pictures and ann_dir"),
        ({"images": "img_dir/x/{split}"}, DataNotFoundError, "expected img_dir/x/train"),
    ],
)
def test_what_is_wrong_with_folders_of_mmsegmentation_is_said(
    mmseg: Path, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        imported("mmseg", mmseg, **MMSEG | options)


OUTLINE = "0 0 0 0.5 0 0.5 1 0 1\n"


def make_yolo(data: Path, images: str = "images/{split}") -> None:
    """Draw a data set of Ultralytics: four images for training, two for validation, and an old one."""
    for number, split in enumerate(("train",) * 4 + ("val",) * 2 + ("old",)):
        image = data / images.format(split=split) / f"{number}.png"
        write_image(image, number)
        labels = Path(str(image.parent).replace("images", "labels"))
        labels.mkdir(parents=True, exist_ok=True)
        (labels / f"{number}.txt").write_text(OUTLINE)


def splits_of(file: Path) -> tuple[Manifest, dict[str, list[str]]]:
    manifest = imported("yolo", file, unlabelled="background")
    tables = {split: manifest.split(split)["image"] for split in ("train", "val", "test")}
    return manifest, {split: [Path(one).stem for one in table] for split, table in tables.items()}


EXPECTED = {"train": ["0", "1", "2", "3"], "val": ["4", "5"], "test": []}
YAMLS = {
    "beside the images": "train: images/train\nval: images/val\nnames: [road]",
    "path of its folder": "path: .\ntrain: images/train\nval: images/val\nnames: {0: road}",
    "as Roboflow": "train: ../images/train\nval: ../images/val\nnames: ['road']\nnc: 1",
    "path of another machine": "path: /content/set\ntrain: images/train\nval: images/val\nnames: [road]",
    "lists of folders": "train: [images/train]\nvalidation: [images/val]\nnames: [road]",
    "text files": "train: train.txt\nval: lists/val.txt\nnames: [road]",
}


@pytest.mark.parametrize("text", YAMLS.values(), ids=YAMLS)
def test_data_yaml_is_imported_as_it_is(text: str, tmp_path: Path) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set" / "train.txt").write_text(
        "".join(f"./images/train/{n}.png\n" for n in range(4))
    )
    (tmp_path / "set" / "lists").mkdir()
    absolute = "".join(f"{tmp_path}/set/images/val/{n}.png\n" for n in (4, 5))
    (tmp_path / "set" / "lists" / "val.txt").write_text(absolute)
    file = tmp_path / "set" / "data.yaml"
    file.write_text(text)
    manifest, found = splits_of(file)
    assert found == EXPECTED
    assert manifest.labels.class_names == ("background", "road")
    assert list(manifest.split("val")["class_pixels"].iloc[0]) == [18, 30, 0]


def test_data_yaml_may_lie_elsewhere(tmp_path: Path) -> None:
    make_yolo(tmp_path / "disk" / "set")
    (tmp_path / "work").mkdir()
    for number, path in enumerate((tmp_path / "disk" / "set", "../disk/set")):
        file = tmp_path / "work" / f"{number}.yaml"
        file.write_text(f"path: {path}\ntrain: images/train\nval: images/val\nnames: [road]")
        manifest, found = splits_of(file)
        assert found == EXPECTED
        assert manifest.root == tmp_path
    masks = [one for one in manifest.table["mask"] if one]
    assert all(one.startswith("disk/set/images/.seglab-masks/yolo-") for one in masks)


def test_training_reads_a_data_yaml_and_notices_what_changed(tmp_path: Path) -> None:
    make_yolo(tmp_path / "set")
    file = tmp_path / "set" / "data.yaml"
    file.write_text(YAMLS["beside the images"])
    unlabelled = "data.options.unlabelled=background"
    assert compose(["data=yolo", f"data.root={file}", unlabelled]).data.root == str(file)
    with pytest.raises(ConfigError, match=r"data\.root: expected the folder.*: that is a file"):
        compose(["data=labelme", f"data.root={file}", unlabelled])
    opened: dict[str, Any] = {"name": "tiny", "importer": "yolo", "root": file, "manifest": None}
    opened |= {"options": {"unlabelled": "background"}, "data_dir": tmp_path / "data"}
    first = open_dataset(**opened)
    assert open_dataset(**opened).fingerprint == first.fingerprint
    file.write_text(file.read_text().replace("val: images/val", "val: images/old"))
    assert open_dataset(**opened).split("val")["image"].tolist() == ["images/old/6.png"]


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("train: images/train", DataError, r"expected a data YAML with `names`"),
        ("names: [road]", DataNotFoundError, r"expected `train`, the folder or list"),
        ("names: [road]\ntrain: img", DataNotFoundError, r"train: img is not there\. Paths count"),
        ("names: {0: road, 2: car}\ntrain: images/train", DataError, r"names: expected the indices"),
        ("names: [road, car]\nmasks_dir: masks\ntrain: images/train", DataError, r"folder DIR .*=masks"),
        ("names: [road, car]\nmasks_dir: m\nlabel_mapping: {-1: 255, 0: 255, 7: 0, 9: ignore_label, 26: 1}",
         DataError, r"raw_ids='\{0: ignore, 7: road, 9: ignore, 26: car\}'`"),
        ("[", DataError, "not YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_data_yaml_is_said(
    text: str, error: type[Exception], told: str, tmp_path: Path
) -> None:
    make_yolo(tmp_path / "set")
    (tmp_path / "set" / "data.yaml").write_text(text)
    with pytest.raises(error, match=rf"data\.yaml.*{told}"):
        splits_of(tmp_path / "set" / "data.yaml")
    with pytest.raises(DataNotFoundError, match=r"gone\.yaml"):
        splits_of(tmp_path / "gone.yaml")


def test_masks_of_ultralytics_are_read_by_the_command_that_is_told(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / f"{split}.jpg")
        write_mask(tmp_path / "masks" / split / f"{split}.png", [0, 1, 255])
    options = {"masks": "masks", "raw_ids": "identity", "class_names": ["road", "car"]}
    manifest = imported("folder", tmp_path, images="images", **options)
    assert manifest.splits() == {"train": 1, "val": 1, "test": 0, "unlabeled": 0}
    assert list(manifest.table["class_pixels"].iloc[0]) == [16, 16, 16]
