"""The folder importer: pairing, splits, groups, and label spaces given or inferred."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.data.build.splitting import group_by_pattern, split_groups
from seglab.data.description.describe import empty_splits
from seglab.data.importers import import_dataset
from seglab.data.manifest import Manifest

MASK = np.array([[0, 1, 2], [2, 1, 255]], np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_pair(image: Path, mask: Path, values: np.ndarray = MASK) -> None:
    seed = sum(image.name.encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 3, 3)).astype(np.uint8)
    write(image, pixels)
    write(mask, values)


def make_flat(root: Path, names: list[str], values: np.ndarray = MASK) -> Path:
    for name in names:
        write_pair(root / "images" / f"{name}.png", root / "masks" / f"{name}.png", values)
    return root


def run(root: Path, **options: Any) -> Manifest:
    return import_dataset("folder", root, root.parent / "out", "tiny", options)


def masks_by_id(manifest: Manifest) -> dict[str, str | None]:
    return dict(zip(manifest.table["sample_id"], manifest.table["mask"], strict=True))


def splits_by_id(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.table["sample_id"], manifest.table["split"], strict=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def test_fractions_are_met_and_follow_the_seed(root: Path) -> None:
    make_flat(root, [f"n{number}" for number in range(20)])
    manifest = run(root, val_fraction=0.2, test_fraction=0.1)
    assert manifest.splits() == {"train": 14, "val": 4, "test": 2, "unlabeled": 0}
    assert splits_by_id(run(root, val_fraction=0.2, test_fraction=0.1)) == splits_by_id(manifest)
    other = run(root, val_fraction=0.2, test_fraction=0.1, seed=1)
    assert splits_by_id(other) != splits_by_id(manifest)
    assert manifest.table["group"].tolist() == manifest.table["sample_id"].tolist()


def test_contradicting_options_are_all_named(root: Path) -> None:
    make_flat(root, ["a"])
    with pytest.raises(ConfigError) as caught:
        run(root, mask_encoding="colour", binary=True, raw_ids={0: 0})
    assert len(caught.value.problems) == 3
    with pytest.raises(
        ConfigError, match=r"palette\[0\]: expected three numbers in 0\.\.255, got \[1, 2\]"
    ):
        run(root, palette=[[1, 2]])
    with pytest.raises(ConfigError, match="did you mean 'folders'"):
        run(root, split="folder")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"images": "../photos"}, "'images' is a place below the root"),
        ({"images": "/photos"}, "'images' is a place below the root"),
        ({"masks": "../masks"}, "'masks' is a place below the root"),
        ({"masks": "../masks/{stem}.png"}, "got '../masks/{stem}.png'; make the folder that holds"),
        ({"lists": "{part}.txt"}, "'lists' has no field {part}; fields are split"),
        ({"masks": "masks/{stm}.png"}, "'masks' has no field {stm} (did you mean 'stem'?)"),
        ({"masks": "masks/{stem.png"}, "is no pattern: expected '}'"),
    ],
)
def test_places_are_below_the_root_and_fields_are_known(
    root: Path, options: dict[str, str], expected: str
) -> None:
    make_flat(root, ["a"])
    with pytest.raises(ConfigError) as caught:
        run(root, **options)
    assert expected in str(caught.value)


def test_a_folder_of_images_of_another_name_is_told_with_what_to_type(root: Path) -> None:
    write_pair(root / "photos" / "deep" / "a.jpg", root / "labels" / "a.png")
    write_pair(root / "photos" / "b.jpg", root / "labels" / "b.png")
    write(root / "preview.png", MASK)
    with pytest.raises(DataNotFoundError) as caught:
        run(root)
    assert str(caught.value) == (
        f"there is no folder images in {root}; image files lie in labels (2), photos (2): say which folder "
        "holds the images and which the masks, data.options.images=FOLDER and data.options.masks=FOLDER"
    )
    with pytest.raises(DataNotFoundError) as caught:
        run(root / "labels")
    assert str(caught.value).endswith(
        f"the images lie in it directly; give the folder above, {root}, with data.options.images=labels"
    )


def test_too_few_masks_to_split_are_told_with_what_is_missing(root: Path) -> None:
    make_flat(root, ["a"])
    with pytest.raises(DataError, match=r"1 sample cannot fill 2 splits .*val_fraction"):
        run(root)
    (root / "masks" / "a.png").rename(root / "masks" / "b.png")
    make_flat(root, ["a", "c"])
    (root / "masks" / "a.png").unlink()
    with pytest.raises(DataError, match=r"only 1 of 2 images have a mask: .*masks/a\.png is not"):
        run(root)


@pytest.mark.parametrize(
    ("masks", "place", "proposed"),
    [
        (None, "labels/{}_L.png", "labels/{{stem}}_L.png"),
        ("labels", "labels/{}_L.png", "labels/{{stem}}_L.png"),
        ("labels/{stem}.png", "labels/{}-mask.png", "labels/{{stem}}-mask.png"),
        (None, "masks/mask_{}.png", "masks/mask_{{stem}}.png"),
        (None, "labels/{}.png", "labels/{{stem}}.png"),
        (None, "masks/a/{}_gt.png", "masks/a/{{stem}}_gt.png"),
    ],
)
def test_masks_of_other_names_are_told_with_the_option_that_finds_them(
    root: Path, masks: str | None, place: str, proposed: str
) -> None:
    for name in ("n1", "n2", "n10"):
        write_pair(root / f"images/{name}.png", root / place.format(name))
    given = {} if masks is None else {"masks": masks}
    option = proposed.format()
    with pytest.raises(DataNotFoundError, match=r"3 of 3 images have no mask by masks=") as caught:
        run(root, **given)
    assert str(caught.value).endswith(f"3 have one with 'data.options.masks={option}'")
    assert run(root, masks=option).splits()["train"] == 2
    write_pair(root / "images/z.png", root / "labels/else.png")
    if masks is None and place.startswith("masks"):
        notes = run(root, allow_unlabeled=True, class_names=["x", "y", "z"]).provenance["notes"]
        assert any(note.endswith(f"'data.options.masks={option}'") for note in notes)


def test_masks_in_sub_folders_are_told_by_their_key(root: Path) -> None:
    for folder, name in (("train", "a"), ("train", "b"), ("val", "a")):
        write_pair(root / f"images/{folder}/{name}.jpg", root / f"masks/{folder}/{name}_m.png")
    with pytest.raises(DataNotFoundError, match=r"3 have one with '.*masks=masks/\{key\}_m\.png'"):
        run(root)


def test_images_may_be_one_file(root: Path) -> None:
    make_flat(root, ["a"])
    manifest = run(root, images="images/a.png", val_fraction=0)
    assert masks_by_id(manifest) == {"a": "masks/a.png"}


def test_sub_folders_give_the_splits(root: Path) -> None:
    for folder, names in (("training", "ab"), ("validation", "c"), ("test", "d")):
        for name in names:
            write_pair(root / f"images/{folder}/{name}.png", root / f"masks/{folder}/{name}.png")
    manifest = run(root)
    assert splits_by_id(manifest) == {
        "training/a": "train",
        "training/b": "train",
        "validation/c": "val",
        "test/d": "test",
    }
    assert masks_by_id(manifest)["validation/c"] == "masks/validation/c.png"


def test_split_folders_above_images_and_masks(root: Path) -> None:
    for folder in ("train", "val"):
        write_pair(root / f"{folder}/images/x.png", root / f"{folder}/masks/x_gt.png")
    manifest = run(root, images="*/images", masks="{split}/masks/{stem}_gt.png")
    assert splits_by_id(manifest) == {"train/images/x": "train", "val/images/x": "val"}
    assert masks_by_id(manifest)["val/images/x"] == "val/masks/x_gt.png"


def test_mask_pattern_by_key_folder_and_name(root: Path) -> None:
    write_pair(root / "scans/p1/x.png", root / "scans/p1/seg_x.png")
    write_pair(root / "scans/p2/x.png", root / "scans/p2/seg_x.png")
    manifest = run(
        root,
        images="scans/*/x.png",
        masks="{folder}/seg_{name}",
        val_fraction=0.5,
        group_pattern="^(?P<group>p[0-9])/",
    )
    assert masks_by_id(manifest) == {"p1/x": "scans/p1/seg_x.png", "p2/x": "scans/p2/seg_x.png"}
    assert sorted(manifest.table["group"]) == ["p1", "p2"]
    with pytest.raises(ConfigError, match=r"no field \{sten\} \(did you mean 'stem'"):
        run(root, images="scans/*/x.png", masks="{sten}.png")


def test_mask_patterns_may_go_up_from_the_folder_of_the_image(root: Path) -> None:
    for scene in ("p", "q"):
        write_pair(
            root / scene / "images" / f"{scene}.png", root / scene / "masks" / f"{scene}.png"
        )
    manifest = run(root, images="*/images", masks="{folder}/../masks/{stem}.png")
    assert sorted(filter(None, manifest.table["mask"])) == ["p/masks/p.png", "q/masks/q.png"]
    with pytest.raises(DataError, match=r"2 of 2 masks are not there, for example .*/else/p\.png"):
        run(root, images="*/images", masks="else/{stem}.png")


def test_lists_of_pairs_names_and_paths(root: Path) -> None:
    make_flat(root, ["a", "b", "c", "d"])
    (root / "train.txt").write_text(
        "# comment\n/old/place/images/a.png /old/place/masks/b.png\n\nimages/b.png\n"
    )
    (root / "val.txt").write_text("c\n")
    manifest = run(root)
    assert splits_by_id(manifest) == {"a": "train", "b": "train", "c": "val"}
    assert masks_by_id(manifest)["a"] == "masks/b.png"
    assert masks_by_id(manifest)["b"] == "masks/b.png"
    assert "1 images are in no list and left out" in manifest.provenance["notes"]


def test_lists_that_match_nothing_or_too_much_are_named(root: Path) -> None:
    make_flat(root, ["x/a", "y/a", "b"])
    (root / "train.txt").write_text("a\nzz\nb\n")
    with pytest.raises(DataNotFoundError) as caught:
        run(root)
    assert "train.txt: 'a' matches 2 images" in str(caught.value)
    assert "train.txt: 'zz' matches no image" in str(caught.value)
    (root / "train.txt").write_text("a b c\n")
    with pytest.raises(DataError, match="'a b c' has 3 parts, expected an image and a mask"):
        run(root)
    (root / "train.txt").unlink()
    with pytest.raises(DataNotFoundError, match=r"no list files train\.txt"):
        run(root, split="lists")


def test_listed_files_that_do_not_exist_are_named(root: Path) -> None:
    make_flat(root, ["a"])
    (root / "train.txt").write_text("images/a.png masks/a.png\nimages/b.png masks/b.png\n")
    with pytest.raises(DataNotFoundError) as caught:
        run(root, class_names=["x", "y", "z"])
    assert f"{root}/images/b.png: no such file" in str(caught.value)
    assert f"{root}/masks/b.png: no such file" in str(caught.value)


def test_masks_are_found_by_stem_in_a_flat_folder(root: Path) -> None:
    for folder, name in (("train", "a"), ("val", "b")):
        write_pair(root / f"images/{folder}/{name}.png", root / f"masks/{name}.png")
    write(root / "masks" / "lonely.png", MASK)
    manifest = run(root)
    assert masks_by_id(manifest) == {"train/a": "masks/a.png", "val/b": "masks/b.png"}
    assert "1 masks in masks belong to no image and are left out" in manifest.provenance["notes"]


def test_names_in_composed_and_decomposed_form_are_one(root: Path) -> None:
    write_pair(root / "images" / "e\u0301.png", root / "masks" / "\u00e9.png")
    write_pair(root / "images" / "\u00fc.png", root / "masks" / "u\u0308.png")
    (root / "train.txt").write_text("\u00e9\n", encoding="utf-8")
    (root / "val.txt").write_text("u\u0308\n", encoding="utf-8")
    assert splits_by_id(run(root)) == {"\u00e9": "train", "\u00fc": "val"}


def test_ambiguous_masks_are_refused(root: Path) -> None:
    make_flat(root, ["a"])
    write(root / "masks" / "a.tif", MASK)
    with pytest.raises(DataError, match=r"(?s)several masks fit one image.*a: a\.png, a\.tif"):
        run(root)


def test_a_mask_belongs_to_one_image(root: Path) -> None:
    for folder in ("train", "val"):
        write_pair(root / f"images/{folder}/a.png", root / "masks" / "a.png")
    with pytest.raises(DataError, match=r"(?s)several images one mask.*a\.png: train/a, val/a"):
        run(root)
    # One that has the path of an image is not taken for another image of that name.
    (root / "masks" / "train").mkdir()
    (root / "masks" / "a.png").rename(root / "masks" / "train" / "a.png")
    with pytest.raises(DataNotFoundError, match=r"val/a: .*masks/val/a\.png: no such file"):
        run(root)


def test_images_without_mask_are_faults_unless_allowed(root: Path) -> None:
    make_flat(root, ["a", "b", "c", "d"])
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DataNotFoundError, match=r"masks/b\.png: no such file"):
        run(root)
    manifest = run(root, allow_unlabeled=True, val_fraction=0.34)
    assert splits_by_id(manifest)["b"] == "unlabeled"
    assert manifest.splits() == {"train": 2, "val": 1, "test": 0, "unlabeled": 1}


def test_images_alone_are_all_unlabeled(root: Path) -> None:
    make_flat(root, ["a", "b"])
    manifest = run(root, masks=None, class_names=["x", "y"])
    assert manifest.splits()["unlabeled"] == 2
    with pytest.raises(DataError, match="no readable mask tells them: there are no masks"):
        run(root, masks=None)
    shutil.rmtree(root / "masks")
    with pytest.raises(DataError, match=r"2 of 2 masks are not there, for example .*/gt/a\.png"):
        run(root, masks="gt/{stem}.png")


def test_hidden_and_other_files_are_left_out(root: Path) -> None:
    make_flat(root, ["a", "b"])
    (root / "images" / "._a.png").write_bytes(b"finder")
    (root / "images" / "Thumbs.db").write_bytes(b"windows")
    assert run(root, val_fraction=0.5).table["sample_id"].tolist() == ["a", "b"]


def test_names_that_are_not_utf8_are_named(root: Path) -> None:
    make_flat(root, ["a", "b"])
    for kind in ("images", "masks"):
        try:
            (root / kind / "b.png").rename(root / kind / os.fsdecode(b"\xe9.png"))
        except OSError:
            pytest.skip("the file system takes no such name")
    with pytest.raises(DataError) as caught:
        run(root, val_fraction=0)
    assert f"{root}/images/\\udce9.png: the name is not UTF-8" in str(caught.value)
    str(caught.value).encode()
    for kind in ("images", "masks"):
        (root / kind / os.fsdecode(b"\xe9.png")).rename(root / kind / os.fsdecode(b"\xe9.txt"))
    assert "skipped: 2 files" in str(run(root, val_fraction=0).provenance["notes"])


def test_same_name_with_two_suffixes_is_named(root: Path) -> None:
    make_flat(root, ["a"])
    write(root / "images" / "a.bmp", MASK)
    with pytest.raises(DataError, match="sample_id 'a' is given to several files"):
        run(root, val_fraction=0)


def test_folder_without_images_is_named(root: Path) -> None:
    (root / "images").mkdir(parents=True)
    with pytest.raises(DataNotFoundError, match="check the option 'images'"):
        run(root)
    with pytest.raises(DataNotFoundError, match="check the option 'images'"):
        run(root, images="photos/*.jpg")
    make_flat(root, ["a"])
    with pytest.raises(DataNotFoundError, match=r"expected labels in .*raw holds images, masks"):
        run(root, masks="labels")


def test_groups_need_a_pattern_that_matches() -> None:
    assert group_by_pattern(["s1_a", "s1_b"], r"^s\d") == ["s1", "s1"]
    assert group_by_pattern(["s1_a", "s2_b"], r"^(s)\d") == ["s", "s"]
    assert group_by_pattern(["x"], None) == ["x"]
    with pytest.raises(DataError, match=r"(?s)no group in 1 of 2 names.*- other"):
        group_by_pattern(["s1_a", "other"], r"^s\d")
    with pytest.raises(ConfigError, match="is no regular expression"):
        group_by_pattern(["a"], "(")


def test_splits_are_drawn_from_what_is_not_faulty(root: Path) -> None:
    make_flat(root, [f"n{number}" for number in range(10)])
    val = [
        name for name, split in splits_by_id(run(root, val_fraction=0.2)).items() if split == "val"
    ]
    for name in val:
        (root / "images" / f"{name}.png").write_bytes(b"no image")
    manifest = import_dataset(
        "folder", root, root.parent / "out", "tiny", {"val_fraction": 0.2}, "quarantine"
    )
    assert manifest.splits() == {"train": 6, "val": 2, "test": 0, "unlabeled": 0}
    assert set(manifest.provenance["quarantined"]) == set(val)


def test_splits_that_the_data_states_stay_where_samples_are_faulty(root: Path) -> None:
    for folder, name in (("train", "a"), ("train", "b"), ("val", "c")):
        write_pair(root / f"images/{folder}/{name}.png", root / f"masks/{folder}/{name}.png")
    (root / "images/val/c.png").write_bytes(b"no image")
    manifest = import_dataset("folder", root, root.parent / "out", "tiny", {}, "quarantine")
    assert manifest.splits() == {"train": 2, "val": 0, "test": 0, "unlabeled": 0}
    assert empty_splits(manifest) == [
        "the val split is empty: all samples in it are left out (1, keep is false)"
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=60),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_split_groups_never_cuts_and_fills_every_split(
    groups: list[str], seed: int, random: Any
) -> None:
    shares = {"val": 0.2, "test": 0.1}
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="cannot fill 3 splits"):
            split_groups(groups, shares, seed)
        return
    splits = split_groups(groups, shares, seed)
    placed = dict(zip(groups, splits, strict=True))
    assert [placed[group] for group in groups] == splits
    assert set(splits) == {"train", "val", "test"}
    shuffled = list(groups)
    random.shuffle(shuffled)
    again = split_groups(shuffled, shares, seed)
    assert dict(zip(shuffled, again, strict=True)) == placed


def test_split_groups_meets_shares_of_single_samples() -> None:
    splits = split_groups([f"g{index}" for index in range(100)], {"val": 0.25, "test": 0.1}, 3)
    assert [splits.count(name) for name in ("train", "val", "test")] == [65, 25, 10]
    assert split_groups(["a", "b"], {"val": 0.0}, 0) == ["train", "train"]


@pytest.mark.parametrize("shares", [{"val": 1.0}, {"val": -0.1}, {"val": 0.6, "test": 0.4}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="leave something for training, got val"):
        split_groups(["a", "b", "c"], shares, 0)
