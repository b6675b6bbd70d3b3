"""`seglab predict`: what it writes, what it leaves alone, where it goes on."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.bundle.loader import Bundle, load
from seglab.core.errors import ConfigError, DataError
from seglab.deploy.predict.ledger import SETTINGS, open_ledger, read_done
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.outputs import entropy
from seglab.deploy.predict.progress import Progress
from seglab.deploy.predict.run import Predicted, predict_files
from tests.bundle.tiny import CLASSES, PALETTE, write_tiny_bundle

Predict = Callable[..., Predicted]
_RNG = np.random.default_rng(5)
SIZES = {"a": (20, 31), "b": (20, 31), "sub/c": (20, 31), "sub/d": (9, 14), "e": (20, 31)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name, size in SIZES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = _RNG.integers(0, 256, (-(-size[0] // 4), -(-size[1] // 4), 3), dtype=np.uint8)
        pixels = coarse.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]]
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def predict(tmp_path: Path, photos: Path) -> Predict:
    """Predict the photos with the tiny bundle; options may be changed."""
    bundle = write_tiny_bundle(tmp_path / "bundle")

    def call(**changes: Any) -> Predicted:
        given = {"bundle": str(bundle), "input": str(photos), "output": str(tmp_path / "out")}
        return predict_files(PredictFilesOptions(**{**given, "threads": 1, **changes}))

    return call


def _mask(found: Predicted, name: str) -> np.ndarray:
    with Image.open(found.output / "masks" / f"{name}.png") as mask:
        assert mask.mode == "P"
        assert (mask.getpalette() or [])[:9] == [value for colour in PALETTE for value in colour]
        return np.array(mask)


def test_masks_are_those_of_the_loader(tmp_path: Path, photos: Path, predict: Predict) -> None:
    found = predict(overlays=True, probabilities=True, entropy=True)
    assert (found.done, found.before, found.faults) == (5, 0, {})
    bundle = load(tmp_path / "bundle")
    for name in SIZES:
        image = bundle.decode((photos / f"{name}.png").read_bytes())
        wanted = bundle.predict(image)
        np.testing.assert_array_equal(_mask(found, name), wanted.mask)
        kept = np.load(found.output / "probabilities" / f"{name}.npy")
        np.testing.assert_allclose(kept, wanted.probabilities, atol=1e-3)
        with Image.open(found.output / "entropy" / f"{name}.png") as unsure:
            np.testing.assert_array_equal(np.array(unsure), entropy(wanted.probabilities))
        with Image.open(found.output / "overlays" / f"{name}.jpg") as overlay:
            colours = np.array(PALETTE)[wanted.mask]
            mixed = 0.45 * image + 0.55 * colours
            # JPEG halves the colours of noise; their mean stays.
            assert np.abs(np.array(overlay).mean((0, 1)) - mixed.mean((0, 1))).max() < 3


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"size_divisor": 8, "min_size": 24}},
        {"predict": {"flips": ["h"]}},
        {"predict": {"window": [8, 12]}},
        {"input": {"image_size": [10, 10]}},
    ],
)
def test_the_short_way_gives_the_mask_of_the_long_one(
    tmp_path: Path, photos: Path, changes: dict[str, Any]
) -> None:
    folder = write_tiny_bundle(tmp_path / "other", golden=False, **changes)
    given = {"bundle": str(folder), "input": str(photos), "threads": 1}
    found = predict_files(PredictFilesOptions(**given, output=str(tmp_path / "masks")))
    bundle = load(folder)
    for name in SIZES:
        wanted = bundle.predict(bundle.decode((photos / f"{name}.png").read_bytes()))
        np.testing.assert_array_equal(_mask(found, name), wanted.mask)


def test_entropy_is_nothing_where_sure_and_all_where_not() -> None:
    planes = np.array([[[1.0, 0.25]], [[0.0, 0.25]], [[0.0, 0.25]], [[0.0, 0.25]]], np.float32)
    assert entropy(planes).tolist() == [[0, 255]]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_areas_sum_to_the_image(predict: Predict, kind: str) -> None:
    found = predict(areas=kind)
    path = found.output / f"areas.{kind}"
    if kind == "csv":
        with path.open(encoding="utf-8") as stream:
            rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    else:
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    assert len(rows) == len(SIZES) * len(CLASSES)
    for name, (height, width) in SIZES.items():
        own = [row for row in rows if row["image"] == name]
        assert [row["class_name"] for row in own] == list(CLASSES)
        assert sum(int(row["pixels"]) for row in own) == height * width
        assert sum(float(row["share"]) for row in own) == pytest.approx(1)
        mask = _mask(found, name)
        assert int(own[1]["pixels"]) == (mask == 1).sum()


def test_goes_on_where_it_stopped(predict: Predict, photos: Path) -> None:
    first = predict()
    times = {path: path.stat().st_mtime_ns for path in first.output.rglob("*.png")}
    (first.output / "masks" / "b.png").unlink()
    Image.new("RGB", (4, 4)).save(photos / "a.png")
    lines = (first.output / "done" / "1-of-1.jsonl").read_text().splitlines(keepends=True)
    # As a crash leaves it: the last line is cut off.
    (first.output / "done" / "1-of-1.jsonl").write_text("".join(lines)[:-20])

    found = predict()

    assert (found.done, found.before) == (3, 2)
    assert set(read_done(found.output)) == set(SIZES)
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert {path.stem for path in changed} == {
        "a",
        "b",
        json.loads(lines[-1])["name"].split("/")[-1],
    }
    assert predict().done == 0


def test_another_bundle_or_other_options_are_refused(tmp_path: Path, predict: Predict) -> None:
    predict()
    other = write_tiny_bundle(tmp_path / "other", temperature=2.0)
    for changes in ({"bundle": str(other)}, {"window": (64, 64)}, {"input": str(tmp_path)}):
        with pytest.raises(ConfigError, match=f"{next(iter(changes))} was .*another output=FOLDER"):
            predict(**changes)
    predict(output=str(tmp_path / "more"), overlays=True)
    with pytest.raises(ConfigError, match="overlays was true, now false"):
        predict(output=str(tmp_path / "more"))
    # These change nothing in what is there.
    assert predict(batch_size=1, workers=1, areas="none").before == len(SIZES)
    (tmp_path / "out" / SETTINGS).write_text("{")
    with pytest.raises(DataError, match="damaged"):
        predict()


def test_overlays_are_drawn_afterwards_of_the_masks_that_are_there(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predict()
    masks = {name: _mask(before, name) for name in SIZES}
    (before.output / "masks" / "e.png").write_bytes(b"damaged")
    asked: list[int] = []
    whole = Bundle.predict_batch

    def count(self: Bundle, images: list[Any], wanted: str = "all") -> Any:
        # That a bundle proves itself when it is loaded is none of these.
        asked.append(len(images) if wanted == "masks" else 0)
        return whole(self, images, wanted)

    monkeypatch.setattr(Bundle, "predict_batch", count)
    found = predict(overlays=True, overlay_alpha=0.3)
    assert (found.done, found.overlaid, sum(asked)) == (len(SIZES), len(SIZES) - 1, 1)
    assert all(np.array_equal(_mask(found, name), masks[name]) for name in SIZES)
    straight = predict(output=str(tmp_path / "straight"), overlays=True, overlay_alpha=0.3)
    for name in SIZES:
        paths = [one.output / "overlays" / f"{name}.jpg" for one in (found, straight)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    # Of probabilities nothing is there: the network is asked, and what is there stays.
    assert predict(overlays=True, overlay_alpha=0.3, entropy=True).done == len(SIZES)
    assert predict(overlays=True, overlay_alpha=0.3, entropy=True).done == 0
    files = read_done(found.output)["a"]["files"]
    assert files == ["masks/a.png", "overlays/a.jpg", "entropy/a.png"]
    with pytest.raises(ConfigError, match="overlay_alpha was"):
        predict(overlays=True, entropy=True, overlay_alpha=0.5)


def test_one_process_at_a_share(tmp_path: Path, predict: Predict) -> None:
    predict()
    settings = json.loads((tmp_path / "out" / SETTINGS).read_text())
    with open_ledger(tmp_path / "out", settings, (1, 1)):
        with pytest.raises(DataError, match="another process"):
            predict()


def test_bad_files_are_named_and_the_rest_is_done(predict: Predict, photos: Path) -> None:
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:90])
    (photos / "sub" / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("no image")
    found = predict()
    assert found.done == 4
    assert {Path(one).name for one in found.faults} == {"a.png", "empty.jpg"}
    listed = (found.output / "skipped.txt").read_text().splitlines()
    assert len(listed) == 2
    assert all("not an image, or damaged" in line for line in listed)
    (photos / "a.png").unlink()
    (photos / "sub" / "empty.jpg").unlink()
    assert predict().faults == {}
    assert not (found.output / "skipped.txt").exists()


def test_shares_are_all_files_each_once(predict: Predict) -> None:
    counts = [predict(shard=f"{index}/3").done for index in (1, 2, 3)]
    assert counts == [2, 2, 1]
    found = predict()
    assert (found.done, found.before) == (0, 5)
    with (found.output / "areas.csv").open() as stream:
        assert {row["image"] for row in csv.DictReader(stream)} == set(SIZES)


def test_annotations_hold_the_masks(predict: Predict, photos: Path) -> None:
    (photos / "e.png").write_bytes(b"")
    given = {"annotations": ("coco", "label_studio", "masks"), "annotation_images": "none"}
    assert (predict(**given, shard="1/2").output / "annotations").exists() is False

    found = predict(**given)

    assert len(found.faults) == 1
    folder = found.output / "annotations"
    coco = json.loads((folder / "coco/annotations/instances_unlabeled.json").read_text())
    names = {one["id"]: Path(one["file_name"]).with_suffix("") for one in coco["images"]}
    assert {str(name) for name in names.values()} == SIZES.keys() - {"e"}
    for number, name in names.items():
        mask = _mask(found, str(name))
        own = [one for one in coco["annotations"] if one["image_id"] == number]
        for index in range(len(CLASSES)):
            area = sum(one["area"] for one in own if one["category_id"] == index + 1)
            assert area == (mask == index).sum()
        with Image.open(folder / f"masks/masks/unlabeled/{name}.png") as kept:
            np.testing.assert_array_equal(np.array(kept), mask)
    tasks = json.loads((folder / "label_studio/tasks.json").read_text())
    assert [len(task["predictions"]) for task in tasks] == [1] * 4
    # Asked for later, another format is written of the masks that are there.
    assert predict(annotations=("labelme",), annotation_images="none").done == 0
    assert (folder / "labelme" / "sub" / "c.json").is_file()


def test_files_of_one_stem_keep_their_endings(predict: Predict, photos: Path) -> None:
    Image.new("RGB", (5, 4)).save(photos / "a.jpg")
    found = predict(input=str(photos / "*.*"))
    assert {path.name for path in (found.output / "masks").iterdir()} == {
        "a.png.png",
        "a.jpg.png",
        "b.png",
        "e.png",
    }


def test_reads_by_url(predict: Predict, photos: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.put(str(photos), "/bucket", recursive=True)
    found = predict(input="memory://bucket")
    assert (found.done, found.faults) == (5, {})
    assert predict(input="memory://bucket").before == 5
    one = predict(input="memory://bucket/sub/c.png", output=str(photos.parent / "one"))
    np.testing.assert_array_equal(_mask(one, "c"), _mask(found, "sub/c"))
    some = predict(input="memory://bucket/*/[cd].png", output=str(photos.parent / "some"))
    assert some.done == 2
    with pytest.raises(DataError, match="holds no images"):
        predict(input="memory://bucket/nothing", output=str(photos.parent / "none"))


def test_the_output_is_no_input(predict: Predict, photos: Path) -> None:
    found = predict(output=str(photos / "out"))
    assert (found.done, predict(output=str(photos / "out")).before) == (5, 5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"input": "nowhere"}, "input: there is no file or folder nowhere"),
        ({"input": "no/where/*.png"}, "input: there is no folder"),
        ({"input": "."}, "holds no images or videos"),
        ({"input": "https://example.org/images"}, "a web server lists no folders"),
        ({"bundle": "nothing"}, "bundle: .*expected a bundle"),
        ({"variant": "int4"}, "bundle: expected a variant of"),
        ({"unlabelled": "rood"}, "unlabelled: .*did you mean 'road'"),
    ],
)
def test_says_what_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predict: Predict,
    changes: dict[str, Any],
    says: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty" if changes.get("input") == "." else tmp_path)
    with pytest.raises((ConfigError, DataError), match=says):
        predict(**changes)


def test_options_that_contradict_each_other() -> None:
    given = {"bundle": "b", "input": "i"}
    for changes, says in (
        ({"shard": "3/2"}, "i/n with i from 1 to n"),
        ({"shard": "1/2", "shards": 2}, "give one"),
        ({"launcher": "slurm"}, "shards=2 or more"),
        ({"annotations": ("coco", "pdf")}, "one of labelme, coco"),
    ):
        with pytest.raises(ConfigError, match=says):
            PredictFilesOptions(**given, **changes)  # type: ignore[arg-type]


def test_progress_says_what_is_left() -> None:
    progress = Progress(10)
    progress.advance(2)
    progress.skipped = 1
    assert progress.line(4.0) == "2 of 10 files, 1 skipped, 0.5/s, 16 s left"


def test_needs_neither_torch_nor_hydra() -> None:
    code = (
        "import sys, seglab.deploy.predict.run, seglab.cli.production.predict\n"
        "print([name for name in ('torch', 'hydra', 'pytorch_lightning', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
