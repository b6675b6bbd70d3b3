from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from seglab.cli.data import DATA_COMMANDS
from seglab.cli.data.importer_options import parse_options
from seglab.core.errors import ConfigError
from seglab.data.importers.options import FolderOptions
from seglab.data.manifest import Manifest
from seglab.runs import RunRecord

Run = Callable[..., Any]
SMALL = ("--num-images", "12", "--image-size", "48", "64", "--option", "frames_per_group=3")


def test_drawn_data_is_described_and_previewed(seglab: Run, tmp_path: Path) -> None:
    drawn = seglab("data", "synth", "roads", *SMALL)
    assert drawn.code == 0, drawn.err
    assert drawn.out.startswith("roads/manifest: train 6, val 3, test 3; fingerprint ")
    fingerprint = drawn.out.split()[-1]

    described = seglab("data", "describe", "roads/manifest")
    assert described.code == 0
    assert fingerprint in described.out
    assert "vegetation" in described.out

    shown = seglab(
        "data",
        "preview",
        "roads/manifest",
        "-n",
        "2",
        "--versions",
        "3",
        "--crop",
        "48",
        "64",
        "--augment",
        "light",
        "--set",
        "augment.geometry.hflip=1",
        "-o",
        "pictures/p.png",
    )
    assert shown.code == 0, shown.err
    assert shown.out == "pictures/p.png\n"
    with Image.open(tmp_path / "pictures" / "p.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width > 4 * 64
        assert picture.height > 4 * 48
    ignored = seglab("data", "preview", "roads/manifest", "--display-bands", "3", "2", "1")
    assert ignored.code == 2
    assert "--display-bands: roads is read as RGB; choose bands with --bands" in ignored.err


def test_a_typed_importer_of_ones_own_needs_no_further_naming(
    seglab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGLAB_PLUGINS", "")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_importer_typed.py").write_text(
        "from seglab.core.labels import LabelSpace\n"
        "from seglab.data.build import ImportedFiles, SampleFiles\n"
        "def read(root):\n"
        "    files = [SampleFiles(s, root / f'{s}.png', root / f'{s}_m.png', s, group=s)"
        " for s in ('train', 'val')]\n"
        "    return ImportedFiles(files, LabelSpace(('a', 'b')))\n"
    )
    (tmp_path / "raw").mkdir()
    for number, split in enumerate(("train", "val")):
        Image.new("RGB", (8, 8), (90 * number, 9, 9)).save(tmp_path / "raw" / f"{split}.png")
        Image.new("L", (8, 8), 1).save(tmp_path / "raw" / f"{split}_m.png")
    made = seglab("data", "import", "own_importer_typed.read", "raw", "--name", "mine")
    assert made.code == 0, made.err
    assert "train 1, val 1" in made.out


def test_same_words_draw_the_same_data(seglab: Run) -> None:
    one, other = (seglab("data", "synth", name, *SMALL).out.split()[-1] for name in ("a", "b"))
    assert one == other


def test_folders_are_imported(seglab: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seglab("data", "synth", "roads", *SMALL)
    monkeypatch.setenv("SEGLAB_DATA", str(tmp_path / "kept"))
    imported = seglab(
        "data", "import", "folder", "roads/data", "--name", "mine", "--option", "val_fraction=0.25"
    )

    assert imported.code == 0, imported.err
    assert (tmp_path / "kept" / "manifests" / "mine" / "manifest.parquet").is_file()
    assert "train 9, val 3" in imported.out


@pytest.mark.slow
def test_budget_of_models_is_measured(seglab: Run) -> None:
    seglab("data", "synth", "roads", *SMALL)
    answer = seglab(
        "data",
        "describe",
        "roads/manifest",
        "--models",
        "linknet, segnet_basic",
        "--encoder",
        "mobilenetv3_small_100",
        "--batch-size",
        "2",
        "--epochs",
        "3",
    )

    assert answer.code == 0, answer.err
    assert "vegetation" in answer.out
    budget = answer.out.partition("\nBudget: ")[2]
    # 48x64 of the drawn images, in the stride of most models.
    assert budget.startswith(
        "6 training and 3 validation images of 48x64, crops of 32x64, batch 2, 3 epochs\nplan: 1 x "
    )
    linknet, segnet = (line.split() for line in budget.splitlines()[4:6])
    assert linknet[:2] == ["linknet", "mobilenetv3_small_100"]
    assert segnet[:3] == ["segnet_basic", "-", "1.42"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["describe", "synth", "--epochs", "3", "--crop", "32", "32"],
            "--crop, --epochs: only the budget of models needs this; add --models, such as --models "
            "unet,segnet_basic",
        ),
        (
            ["descrbe", "x"],
            f"no such command 'descrbe' (did you mean 'describe'?); commands are {', '.join(DATA_COMMANDS)}",
        ),
        (["describe", "camvid"], "--root: missing; give the folder of the raw data of 'camvid'"),
        (
            ["describe", "camvd"],
            "data: no such choice 'camvd' (did you mean 'camvid'?); choices are ade20k, camvid, "
            "cityscapes, cityscapes_json, coco, ",
        ),
        (
            ["preview", "synth", "--set", "geometry.hflip=1"],
            "--set: expected augment.KEY=VALUE, got 'geometry.hflip=1'",
        ),
        (
            ["import", "folder", ".", "--option", "images=*/images"],
            "--option images: expected a value in YAML, got '*/images'; as text it is typed --option "
            "'images=\"*/images\"'",
        ),
        (["import", "camvd", "."], "unknown importer 'camvd' (did you mean 'camvid'?)"),
        (
            ["import", "/", "masks"],
            "'/' is a folder; what reads it comes before it, such as seglab data import folder /",
        ),
        (
            ["import", "folder", ".", "--images", "photos", "--masks", "--split=lists"],
            "'--images' is an option of folder: --option images=photos\n"
            "  - '--masks' is an option of folder: --option masks=VALUE\n"
            "  - '--split=lists' is an option of folder: --option split=lists",
        ),
        (
            ["import", "folder", ".", "--option", "images=photos", "masks=labels/{stem}.png"],
            "'masks=labels/{stem}.png' is an option of folder: --option 'masks=labels/{stem}.png'",
        ),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_wrong_words_are_explained(seglab: Run, words: list[str], line: str) -> None:
    answer = seglab("data", *words)

    assert answer.code == 2
    assert f"  - {line}" in answer.err


def test_missing_data_is_the_users_words(seglab: Run) -> None:
    assert seglab("data", "describe", "no/where").code == 2
    assert "no manifest at no/where" in seglab("data", "describe", "no/where").err
    assert seglab("data", "import", "camvid", "nowhere").code == 2


def test_options_are_read_as_yaml_and_names_as_typed() -> None:
    words = ["a=1", "b=[x, y]", "c=true", "d=", "e=x=y"]
    assert parse_options(words, "synth") == {
        "a": 1,
        "b": ["x", "y"],
        "c": True,
        "d": None,
        "e": "x=y",
    }
    names = [
        "class_names=[no, 1e3, null, 2024-01-01, 'x: y']",
        "raw_ids={0: off, 1-2: 3}",
        "seed=3",
    ]
    assert parse_options(names, "folder") == {
        "class_names": ["no", "1e3", "null", "2024-01-01", "x: y"],
        "raw_ids": {0: "off", "1-2": 3},
        "seed": 3,
    }
    assert parse_options(["year=2007"], "voc") == {"year": "2007"}
    with pytest.raises(ConfigError) as caught:
        parse_options(["a", "=1", "b=[1"], "folder")
    assert len(caught.value.problems) == 3


@pytest.mark.slow
def test_camvid_validation_shares_a_drive_with_training(seglab: Run, shared: Path) -> None:
    root = str(shared / "data" / "camvid")
    assert seglab("data", "import", "camvid", root, "--out", "camvid").code == 0
    said = seglab("data", "split", "camvid", "--block", "20", "--gap", "5", "--out", "new")
    assert said.code == 0, said.err
    row = next(line.split() for line in said.out.splitlines() if line.split()[:1] == ["column"])
    assert row[1:4] == [
        "468",
        "3",
        "101",
    ]  # every official validation frame is of a drive in training
    manifest = Manifest.read(Path("new"))
    assert "lie in a gap and are left out" in said.out
    assert manifest.splits()["val"] == pytest.approx(0.2 * 468, rel=0.2)
    wrong = seglab("data", "split", "camvid", "--by", "colum")
    assert wrong.code == 2
    assert "--by[0]: expected one of column" in wrong.err


def test_shares_show_what_sampling_and_crops_do(seglab: Run) -> None:
    assert seglab("data", "synth", "roads", *SMALL).code == 0
    words = ("data", "shares", "roads/manifest", "--crop", "24", "32", "--draws", "40")

    def table(*more: str) -> dict[str, list[float]]:
        said = seglab(*words, *more)
        assert said.code == 0, said.err
        lines = [line.replace("%", "").split() for line in said.out.splitlines()[2:]]
        return {line[0]: [float(cell) for cell in line[1:]] for line in lines}

    even = table("--augment", "light")
    assert all(data == drawn for data, drawn, *_ in even.values())
    rarest = min(even, key=lambda name: even[name][3])
    often = table("--augment", "light", "--rarity", "1")
    assert often[rarest][0] == even[rarest][0]
    assert often[rarest][1] > even[rarest][1]
    assert often[rarest][3] > even[rarest][3]
    wrong = seglab(*words, "--rarity", "1.5")
    assert wrong.code == 2
    assert "--rarity: expected" in wrong.err


def test_data_of_a_run_is_told_and_its_files_are_held_against_it(
    seglab: Run, tmp_path: Path
) -> None:
    assert seglab("data", "synth", "roads", *SMALL).code == 0
    manifest = Manifest.read(tmp_path / "roads" / "manifest")
    config = {"data": {"name": "roads", "manifest": str(tmp_path / "roads" / "manifest")}}
    RunRecord.create(
        tmp_path / "run",
        experiment="e",
        kind="train",
        config=config,
        config_yaml="",
        dataset_fingerprint=manifest.fingerprint,
    )
    same = seglab("data", "describe", "--run", "run")
    assert same.code == 0, same.err
    assert f"run run: roads, version {manifest.fingerprint}" in same.out
    assert "splits train 6, val 3, test 3\nall 24 files are those of this version\n" in same.out

    rows = manifest.table
    (manifest.root / rows["image"][0]).unlink()
    (manifest.root / rows["mask"][1]).write_bytes(b"another")
    # A later version takes its place, and the one of the run stays beside.
    manifest.with_table(rows.assign(split="train")).write(tmp_path / "roads" / "manifest")
    changed = seglab("data", "describe", "--run", "run")
    assert changed.code == 1
    assert f"  {rows['image'][0]} is missing\n" in changed.out
    assert f"  {rows['mask'][1]} changed since the import\n" in changed.out
    assert changed.out.endswith("2 of 24 files are not those of this version\n")

    (tmp_path / "roads" / "manifest" / f"manifest.{manifest.fingerprint}.parquet").unlink()
    gone = seglab("data", "describe", "--run", "run")
    assert gone.code == 2
    assert "no manifest of that version is left; looked in" in gone.err
    both = seglab("data", "describe", "roads/manifest", "--run", "run")
    assert both.code == 2
    assert "goes only with --root, got also data" in both.err
    assert "name a data set, or a run with --run" in seglab("data", "describe").err


def test_data_that_is_left_out_is_counted_and_ends_with_1(
    seglab: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        for folder, mode in (("images", "RGB"), ("masks", "L")):
            (tmp_path / "own" / folder).mkdir(parents=True, exist_ok=True)
            Image.new(mode, (8, 8), 1).save(tmp_path / "own" / folder / f"{name}.png")
    (tmp_path / "own" / "images" / "b.png").write_bytes(b"no image")
    words = ("data", "import", "folder", "own", "--option", "raw_ids=identity")
    words = (*words, "--option", "class_names=[a,b]", "--option", "val_fraction=0")
    said = seglab(*words, "--on-error", "quarantine", "--out", "kept")
    assert said.code == 1, said.err
    assert said.out.endswith(
        "1 left out, each named above: the manifest is written, and the exit code is 1 for what it lacks\n"
    )
    assert "Warning: the val split is empty\n" in said.out
    assert "b: " in caplog.text
    assert seglab(*words).code == 2


def test_options_of_an_importer_are_listed_by_its_help(seglab: Run) -> None:
    said = seglab("data", "import", "folder", "--help")
    assert said.code == 0
    assert "\noptions of folder, each given as --option KEY=VALUE:\n" in said.out
    for name in FolderOptions.model_fields:
        assert f"\n  {name}: " in said.out
    assert "  val_fraction: a number (0 to 1, 1 excluded); 0.2\n      Share of samples" in said.out
    assert "options of" not in seglab("data", "import", "--help").out
    wrong = seglab("data", "import", "foldr", "--help")
    assert (wrong.code, "did you mean 'folder'?" in wrong.err) == (2, True)


def test_imported_data_is_named_after_its_folder(seglab: Run, tmp_path: Path) -> None:
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        for number in range(2):
            place = tmp_path / "my photos" / kind / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (8, 8), number).save(place)
    words = ("data", "import", "folder", "my photos", "--option", "val_fraction=0.5")
    for more, place, name in (
        (("--out", "manifests/street"), "manifests/street", "street"),
        (("--out", "drawn/manifest"), "drawn/manifest", "drawn"),
        ((), "data/manifests/my_photos", "my_photos"),
        (("--name", "mine"), "data/manifests/mine", "mine"),
    ):
        said = seglab(*words, *more)
        assert said.code == 0, said.err
        assert Manifest.read(Path(place)).name == name


def test_names_that_look_like_scenes_are_noted_by_import_and_audit(
    seglab: Run, tmp_path: Path
) -> None:
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        for number in range(8):
            place = tmp_path / "own" / kind / f"Seq{number % 2}VD_f{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (8, 8), number % 2).save(place)
    words = ("data", "import", "folder", "own", "--out", "m")
    said = seglab(*words).out
    assert "Note: names such as Seq0VD_f000 look like frames of 2 scenes (Seq0VD, Seq1VD)" in said
    assert said.endswith("keep them together with --option 'group_pattern=^([^_]+)_'\n")
    described = seglab("data", "describe", "m").out
    assert "keep them together with `seglab data split m --out FOLDER`" in described
    audited = seglab("data", "audit", "m", "--only", "dark").out
    assert "note: names such as Seq0VD_f000" in audited
    assert "together with `seglab data split m --out FOLDER`" in audited
    grouped = seglab(*words, "--option", "group_pattern=^([^_]+)_", "--option", "val_fraction=0.5")
    assert (grouped.code, "Note:" in grouped.out) == (0, False)
