from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections import Counter
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.data.build import ImportedFiles, build_manifest
from seglab.data.synth import LABELS, SynthOptions, import_synth, load_faults
from seglab.data.synth.faults import plant_noise
from seglab.data.synth.plan import plan_groups
from seglab.data.synth.storage import read_mask, write_mask

SMALL = {"num_images": 48, "image_size": (96, 128), "frames_per_group": 3}
FAULTS = {
    "noise_boundary": 0.1,
    "noise_missing": 0.1,
    "noise_swap": 0.07,
    "noise_shift": 0.03,
    "near_duplicates": 4,
    "corrupt_files": 6,
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImportedFiles]:
    root = tmp_path_factory.mktemp("plain") / "synth"
    return root, import_synth(root, **SMALL)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImportedFiles]:
    root = tmp_path_factory.mktemp("faulty") / "synth"
    return root, import_synth(root, **SMALL, **FAULTS)


def _contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def _import_small(root: Path) -> int:
    return len(import_synth(root, num_images=12, image_size=(48, 64), frames_per_group=2).samples)


def test_samples_are_whole(plain: tuple[Path, ImportedFiles]):
    root, imported = plain
    assert len(imported.samples) == 48
    assert imported.labels == LABELS
    assert imported.mask_encoding == "index"
    assert len({one.sample_id for one in imported.samples}) == 48
    for one in imported.samples:
        assert one.image.is_absolute()
        assert one.image.is_relative_to(root)
        with Image.open(one.image) as image, Image.open(one.mask) as mask:
            assert (image.mode, mask.mode) == ("RGB", "P")
            assert image.size == mask.size == (128, 96)
    assert load_faults(root) == []


def test_splits_are_by_group_with_the_asked_shares(plain: tuple[Path, ImportedFiles]):
    _, imported = plain
    splits: dict[str, set[str]] = {}
    for one in imported.samples:
        splits.setdefault(one.group, set()).add(one.split)
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(one.split for one in imported.samples) == {"train": 30, "val": 9, "test": 9}


def test_every_class_is_in_every_split(plain: tuple[Path, ImportedFiles]):
    _, imported = plain
    for split in ("train", "val", "test"):
        masks = [read_mask(one.mask) for one in imported.samples if one.split == split]
        counts = np.bincount(np.concatenate(masks).ravel(), minlength=256)
        shares = counts[: LABELS.num_classes] / counts.sum()
        assert (shares > 0.0005).all(), (split, shares)
        assert shares.max() < 0.6
    assert imported.notes == []


def test_the_same_options_write_the_same_bytes(plain: tuple[Path, ImportedFiles], tmp_path: Path):
    root, _ = plain
    import_synth(tmp_path / "again", **SMALL)
    assert _contents(tmp_path / "again") == _contents(root)


def test_another_seed_draws_other_images(plain: tuple[Path, ImportedFiles], tmp_path: Path):
    root, _ = plain
    import_synth(tmp_path / "other", **{**SMALL, "num_images": 9}, seed=1)
    first = {one.read_bytes() for one in (root / "images").iterdir()}
    assert first.isdisjoint(one.read_bytes() for one in (tmp_path / "other/images").iterdir())


def test_existing_data_is_reused_and_not_rewritten(tmp_path: Path):
    root = tmp_path / "synth"
    _import_small(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    first = import_synth(root, num_images=12, image_size=[48, 64], frames_per_group=2)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
    assert len(first.samples) == 12


def test_data_with_other_options_is_not_touched(tmp_path: Path):
    root = tmp_path / "synth"
    _import_small(root)
    before = _contents(root)
    with pytest.raises(DataError) as caught:
        import_synth(root, num_images=14, image_size=(48, 64), frames_per_group=2, seed=3)
    assert "num_images: it has 12, asked for is 14" in str(caught.value)
    assert "seed: it has 0, asked for is 3" in str(caught.value)
    assert "image_size" not in str(caught.value)
    assert _contents(root) == before


def test_foreign_folder_is_refused_and_an_empty_one_is_filled(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="was not made by synth"):
        _import_small(tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert _import_small(tmp_path / "empty") == 12


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("seglab.data.synth.importer.write_faults", fail)
    with pytest.raises(OSError, match="disk full"):
        _import_small(tmp_path / "synth")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_leftovers_of_a_killed_process_are_cleared(tmp_path: Path):
    (tmp_path / ".synth.making-old/images").mkdir(parents=True)
    (tmp_path / ".other.making-new").mkdir()
    _import_small(tmp_path / "synth")
    names = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert names == {"synth", ".other.making-new"}


@pytest.mark.slow
def test_processes_at_once_make_one_data_set(tmp_path: Path):
    root = tmp_path / "synth"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_import_small, [root] * 3) == [12, 12, 12]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["synth"]
    assert len(list((root / "images").iterdir())) == 12


def test_fault_counts_are_exactly_as_asked(faulty: tuple[Path, ImportedFiles]):
    root, imported = faulty
    faults = load_faults(root)
    counts = Counter(fault.kind for fault in faults)
    assert counts == {
        "noise_boundary": 3,
        "noise_missing": 3,
        "noise_swap": 2,
        "noise_shift": 1,
        "near_duplicate": 4,
        "corrupt_file": 6,
    }
    assert json.loads((root / "faults.json").read_text())["counts"] == dict(counts)
    assert len({fault.sample_id for fault in faults}) == len(faults)
    assert {fault.split for fault in faults if fault.kind.startswith("noise_")} == {"train"}
    splits = {one.sample_id: one.split for one in imported.samples}
    assert all(splits[fault.sample_id] == fault.split for fault in faults)


def test_clean_masks_are_the_ground_truth_of_noisy_ones(
    plain: tuple[Path, ImportedFiles], faulty: tuple[Path, ImportedFiles]
):
    noisy = [fault for fault in load_faults(faulty[0]) if fault.clean_mask]
    assert len(noisy) == 9
    assert len(list((faulty[0] / "clean_masks").iterdir())) == 9
    for fault in noisy:
        clean = (faulty[0] / fault.clean_mask).read_bytes()
        assert clean == (plain[0] / "masks" / f"{fault.sample_id}.png").read_bytes()
        given = read_mask(faulty[0] / "masks" / f"{fault.sample_id}.png")
        changed = int((given != read_mask(faulty[0] / fault.clean_mask)).sum())
        assert changed == fault.parameters["pixels_changed"] > 0


def test_faults_change_only_the_files_they_are_planted_in(
    plain: tuple[Path, ImportedFiles], faulty: tuple[Path, ImportedFiles]
):
    before, after = _contents(plain[0]), _contents(faulty[0])
    touched = {fault.sample_id for fault in load_faults(faulty[0])}
    same = {name for name in before if name.startswith(("images/", "masks/"))}
    different = {Path(name).stem for name in same if before[name] != after[name]}
    assert different <= touched
    noise = [one for one in load_faults(faulty[0]) if one.kind.startswith("noise_")]
    corrupt = [one for one in load_faults(faulty[0]) if one.kind == "corrupt_file"]
    assert different == {one.sample_id for one in noise + corrupt}


def test_near_duplicates_leak_across_splits_under_another_group(faulty: tuple[Path, ImportedFiles]):
    root, imported = faulty
    samples = {one.sample_id: one for one in imported.samples}
    copies = [fault for fault in load_faults(root) if fault.kind == "near_duplicate"]
    assert Counter(fault.split for fault in copies) == {"val": 2, "test": 2}
    for fault in copies:
        copy, source = samples[fault.sample_id], samples[fault.parameters["source_id"]]
        assert source.split == "train"
        assert source.group == fault.parameters["source_group"] != copy.group
        assert copy.image.read_bytes() != source.image.read_bytes()
        with Image.open(copy.image) as first, Image.open(source.image) as second:
            assert imagehash.phash(first) - imagehash.phash(second) <= 10
    with Image.open(samples[copies[0].sample_id].image) as image:
        code = imagehash.phash(image)
    others = [
        code - imagehash.phash(Image.open(one.image))
        for one in imported.samples
        if one.split == "val"
        and one.sample_id not in {fault.sample_id for fault in copies}
        and one.image.stat().st_size > 1000
        and one.group != samples[copies[0].parameters["source_id"]].group
    ][:6]
    assert min(others) > 10


def test_build_quarantines_exactly_the_corrupt_files(
    faulty: tuple[Path, ImportedFiles], caplog: pytest.LogCaptureFixture
):
    root, imported = faulty
    corrupt = {one.sample_id for one in load_faults(root) if one.kind == "corrupt_file"}
    manifest = build_manifest(imported, root, "synth", {}, on_error="quarantine")
    table = manifest.table
    assert set(table.loc[~table["keep"], "sample_id"]) == corrupt
    flags = Counter(flag for row in table["flags"] for flag in row)
    assert flags == {"corrupt_image": 3, "corrupt_mask": 2, "size_mismatch": 1}
    assert "6 of 52 samples are faulty" in caplog.text


def test_notes_tell_what_was_planted(faulty: tuple[Path, ImportedFiles]):
    text = "\n".join(faulty[1].notes)
    assert "6 samples have a file damaged on purpose" in text
    assert "4 copies of training images" in text
    assert "noise_boundary 0.1" in text


def test_noise_reaches_the_splits_asked_for(tmp_path: Path):
    options = {"num_images": 18, "image_size": (64, 96), "frames_per_group": 2}
    root = tmp_path / "synth"
    import_synth(root, **options, noise_shift=0.5, noise_splits="val, test")
    assert Counter(fault.split for fault in load_faults(root)) == {"val": 2, "test": 2}


def test_too_few_objects_for_the_noise_is_an_error(tmp_path: Path):
    options = SynthOptions(num_images=12, frames_per_group=2, noise_missing=1.0)
    samples = [dataclasses.replace(one) for one in _planned(options) if one.split == "train"]
    (tmp_path / "masks").mkdir()
    for one in samples:
        write_mask(tmp_path / "masks" / f"{one.sample_id}.png", np.ones((64, 64), dtype=np.uint8))
    with pytest.raises(DataError, match=f"only 0 of the {len(samples)} train images"):
        plant_noise(tmp_path, samples, options)


def _planned(options: SynthOptions) -> list:
    from seglab.data.synth.plan import PlannedSample

    return [
        PlannedSample(group.number, frame, group.split)
        for group in plan_groups(options)
        for frame in range(group.num_frames)
    ]


def test_imbalance_takes_rare_classes_from_the_asked_share_of_groups():
    options = SynthOptions(num_images=240, class_imbalance=0.5)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        groups = [group for group in plan_groups(options) if group.split == split]
        assert len(groups) == count
        assert sum(not group.options.has_rare for group in groups) == count // 2
        complete = [group for group in groups if group.options.is_complete]
        assert [group.options.has_rare for group in complete] == [True]


def test_domain_shift_moves_the_test_split_only():
    groups = plan_groups(SynthOptions(domain_shift="fog"))
    assert {group.options.shift for group in groups if group.split == "test"} == {"fog"}
    assert {group.options.shift for group in groups if group.split != "test"} == {"none"}


def test_last_group_takes_the_rest():
    groups = plan_groups(SynthOptions(num_images=20, frames_per_group=6))
    assert [group.num_frames for group in groups] == [6, 6, 6, 2]


def test_all_impossible_options_are_listed(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        import_synth(
            tmp_path / "synth",
            num_images=0,
            image_size=(10, 64),
            noise_swap=1.5,
            domain_shift="fogg",
            corrupt_files=-1,
            void_border=99,
        )
    assert [problem.removeprefix("data.options.") for problem in caught.value.problems] == [
        "num_images: expected a whole number (1 or more), got 0",
        "image_size[0]: expected a whole number (48 to 1024), got 10",
        "void_border: expected a whole number (0 to 8), got 99",
        "noise_swap: expected a number (0 to 1), got 1.5",
        "corrupt_files: expected a whole number (0 or more), got -1",
        "domain_shift: expected one of none, night, fog, blur, colour, noise, got 'fogg' "
        "(did you mean 'fog'?)",
    ]
    with pytest.raises(ConfigError) as caught:
        import_synth(
            tmp_path / "synth",
            val_fraction=0.6,
            test_fraction=0.6,
            noise_swap=1.0,
            noise_shift=0.5,
            noise_splits="trian",
        )
    for part in ("val_fraction + test_fraction must", "sum to at most 1", "mean 'train'?"):
        assert sum(part in problem for problem in caught.value.problems) == 1
    assert len(caught.value.problems) == 3
    assert not (tmp_path / "synth").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 6, "frames_per_group": 6}, "too few for the splits"),
        ({"near_duplicates": 200}, "do not fit into 144 training images"),
        ({"corrupt_files": 250}, "250 corrupt files do not fit"),
        ({"noise_shift": 1.0, "near_duplicates": 1}, "144 noisy masks"),
        ({"domain_shift": "fog", "test_fraction": 0.0}, "test_fraction is 0"),
        ({"near_duplicates": 1, "val_fraction": 0.0, "test_fraction": 0.0}, "both fractions"),
        ({"noise_shift": 0.1, "noise_splits": ""}, "names no split"),
    ],
)
def test_contradicting_options_are_refused(options: dict, message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        import_synth(tmp_path / "synth", **options)
    assert not (tmp_path / "synth").exists()


def test_faults_of_a_foreign_folder_are_an_error(tmp_path: Path):
    with pytest.raises(DataNotFoundError, match="made by synth"):
        load_faults(tmp_path)
