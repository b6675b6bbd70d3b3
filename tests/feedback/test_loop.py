"""From a log to a new version by files: pushed, corrected by an oracle, taken back, and what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seglab.bundle.loader import load
from seglab.cli.main import run as seglab
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import ConfigError, DataError
from seglab.data.annotated.export import ExportSettings
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.feedback.exchange.answers import read_answers
from seglab.feedback.exchange.drawn import model_mask, write_annotations
from seglab.feedback.exchange.measuring import quality_of
from seglab.feedback.exchange.pushing import push
from seglab.feedback.exchange.taking import take
from seglab.feedback.options import PushOptions, TakeOptions
from seglab.feedback.queue.content import Item, Queue, read_queue
from seglab.metrics import miou
from seglab.monitor.log.reading import read_log
from seglab.monitor.quality.labels import folder_labels
from seglab.monitor.quality.measured import COLUMNS, measured_quality
from tests.feedback.conftest import LABELS, SIZE, Queued
from tests.pages.blocks import blocks

TellNothing: Callable[[str], None] = lambda text: None  # noqa: E731


def truth(queue: Queue, item: Item) -> np.ndarray:
    """Return what an oracle says: the model is wrong in the upper rows, more so on chosen images."""
    mask = model_mask(queue, item).copy()
    rows = 12 if item.part == "control" else 24
    mask[:rows] = (mask[:rows] + 1) % 3
    mask[-2:] = 255
    return mask


def pushed(queue: Queue, tool: str) -> Path:
    options = PushOptions(queue=str(queue.folder), to=tool)
    return Path(push(queue, options, TellNothing).place)


def corrected(queue: Queue, folder: Path, tool: str, names: Collection[str]) -> None:
    """Draw some items as they truly are, into the files of a tool."""
    drawn = folder.with_name("drawn")
    write_annotations(
        queue, tool, drawn, ExportSettings(images="none"), lambda item: truth(queue, item)
    )
    for item in queue.items:
        if item.id not in names:
            (drawn / f"{item.id}.json").unlink()
    shutil.copytree(drawn, folder, dirs_exist_ok=True)
    shutil.rmtree(drawn)


def words(queue: Queue, manifest: Path, **given: str) -> TakeOptions:
    return TakeOptions(queue=str(queue.folder), manifest=str(manifest), **given)


def test_the_loop_by_files_of_labelme(
    queued: Queued, manifest: Path, log: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = queued(count=10, control=0.6, seed=5)
    folder = pushed(queue, "labelme")
    ids = [one.id for one in queue.items]
    seen = "r05-0"
    assert seen in ids, "expected a seed that draws what the holdout shows"
    left = queue.of_part("hard")[0].id
    corrected(queue, folder, "labelme", [one for one in ids if one != left])
    before = Manifest.read(manifest)

    place = f"queue={queue.folder}"
    assert seglab(["review", "take", place, f"manifest={manifest}"]) == 0
    told = capsys.readouterr().out
    assert "9 labelled" in told
    assert "1 as they were pushed" in told
    assert "refused: r05-0: nearly seen of the holdout" in told
    after = Manifest.read(manifest)
    assert after.fingerprint != before.fingerprint
    new = after.table[~after.table["sample_id"].isin(before.table["sample_id"])]
    assert set(new["sample_id"]) == set(ids) - {seen, left}
    assert set(new["split"]) == {"train"}
    items = {one.id: one for one in queue.items}
    for row in new.to_dict(orient="records"):
        item = items[row["sample_id"]]
        assert row["tags"] == ["review", item.part]
        assert row["group"] == item.stream
        mask = read_mask(after.root / row["mask"], after.labels, after.mask_encoding)
        np.testing.assert_array_equal(mask, truth(queue, item))
    entry = after.provenance["versions"][-1]
    assert (entry["by"], entry["queue"]) == ("review take", queue.hash)

    taken = json.loads((queue.folder / "taken.json").read_text())
    quality = taken["quality"]
    assert quality["control"]["images"] + quality["hard"]["images"] == 9
    assert quality["control"]["changed"] == pytest.approx(12 / 46)
    assert quality["hard"]["changed"] == pytest.approx(24 / 46)
    low, value, high = (quality["control"]["miou"][key] for key in ("low", "value", "high"))
    assert quality["hard"]["miou"]["value"] < low < value < high

    # The labels join the log by request: the monitor measures what the queue says of its random share.
    rows = pq.read_table(queue.folder / "labels.parquet").to_pylist()
    control = [np.reshape(one["confusion"], (3, 3)) for one in rows if one["part"] == "control"]
    assert miou(np.sum(control, 0)) == pytest.approx(value)
    assert {one["probability"] for one in rows if one["part"] == "control"} == {6 / 34}
    labels = folder_labels(queue.folder / "labels" / "control")
    measured = measured_quality(read_log(log, columns=COLUMNS), log, labels, load(bundle))
    assert measured is not None
    assert measured.measured.miou == pytest.approx(value)

    assert seglab(["review", "take", place, f"manifest={manifest}"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    corrected(queue, folder, "labelme", [left])
    assert seglab(["review", "take", place, f"manifest={manifest}"]) == 0
    assert "1 new in the manifest, 0 with another mask, 8 as they were" in capsys.readouterr().out
    assert seglab(["review", "report", place]) == 0
    assert "random share: mIoU" in capsys.readouterr().out
    for _ in range(2):
        assert seglab(["data", "undo", str(manifest)]) == 0
    assert Manifest.read(manifest).fingerprint == before.fingerprint


@pytest.mark.slow
def test_the_commands_of_the_page_run(
    tmp_path: Path, manifest: Path, log: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = blocks("bash", page="docs/feedback.md")[0]
    places = {"log=log": f"log={log}", "bundle=model": f"bundle={bundle}"}
    places |= {
        "output=review": f"output={tmp_path}/review",
        "queue=review": f"queue={tmp_path}/review",
    }
    places["manifests/street"] = str(manifest)
    lines = [words[1:] for words in block.commands(places)]
    assert [line[:2] for line in lines[1:4]] == [
        ["review", name] for name in ("queue", "push", "take")
    ]
    for line in lines[1:]:
        if line[1] == "take":
            queue = read_queue(tmp_path / "review")
            corrected(queue, queue.folder / "labelme", "labelme", [queue.items[0].id])
        assert seglab(line) == 0, line
    told = capsys.readouterr().out
    assert "23 chosen, 10 of 10 drawn at random from 34" in told
    assert "refused, nearly in the holdout: 1: r05-0 (nearly seen)" in told
    assert "1 new in the manifest" in told


def test_other_tools_bring_masks_back_too(queued: Queued, manifest: Path) -> None:
    queue, tool = queued(count=3), "cvat"
    folder = pushed(queue, tool)
    options = words(queue, manifest)
    assert {one.status for one in read_answers(queue, options)} == {"untouched"}
    shutil.rmtree(folder)
    corrected(queue, folder, tool, [one.id for one in queue.items])
    # As the tool exports them: without images, as a folder or as its one file.
    (file,) = folder.glob("*.xml")
    other = options.replace(annotations=str(file), format=tool)
    for one in [*read_answers(queue, options), *read_answers(queue, other)]:
        assert one.status == "labelled", one.why
        assert one.mask is not None
        np.testing.assert_array_equal(one.mask, truth(queue, one.item))


def test_pushed_twice_nothing_is_there_twice_and_other_folders_are_not_written_over(
    queued: Queued,
) -> None:
    queue = queued(count=3)
    options = PushOptions(queue=str(queue.folder), to="labelme")
    first, again = push(queue, options, TellNothing), push(queue, options, TellNothing)
    assert (first.added, first.there, again.added, again.there) == (3, 0, 0, 3)
    specks = np.indices(SIZE).sum(0) % 2
    write_mask(queue.folder / queue.items[0].mask, specks.astype(np.uint8), LABELS.palette)
    told: list[str] = []
    push(queue, options.replace(output=str(queue.folder / "specks")), told.append)
    assert told == ["1 masks are of more than 2000 regions; these images come without them"]
    shapes = {path.stem for path in (queue.folder / "specks").glob("*.json")}
    assert shapes == {one.id for one in queue.items[1:]}
    other = options.replace(output=str(queue.folder / "images"))
    with pytest.raises(DataError, match="images is not empty; give a new folder"):
        push(queue, other, TellNothing)


def studio_task(queue: Queue, number: int, results: list[object]) -> dict[str, object]:
    item = queue.items[number]
    annotations = [
        {
            "result": one,
            "lead_time": 30.0 + place,
            "completed_by": place + 1,
            "created_at": f"{place}",
        }
        for place, one in enumerate(results)
    ]
    return {"data": {"image": f"/data/upload/1/0123abcd-{item.id}.png"}, "annotations": annotations}


def test_an_export_of_label_studio_tells_times_and_what_is_missing_empty_skipped_or_twice(
    queued: Queued, manifest: Path, tmp_path: Path
) -> None:
    queue = queued(count=6)

    def box(label: str) -> dict[str, object]:
        value = {"x": 0, "y": 0, "width": 100, "height": 50, "rectanglelabels": [label]}
        size = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
        return {"type": "rectanglelabels", "value": value, **size}

    tasks = [
        studio_task(queue, 0, [[box("road")]]),
        studio_task(queue, 1, [[box("road")], [box("sky")]]),
        studio_task(queue, 2, [[]]),
        studio_task(queue, 3, [[]]),
        studio_task(queue, 4, [[box("lamp")]]),
        {"data": {"image": "other.png"}, "annotations": []},
    ]
    tasks[3]["annotations"][0]["was_cancelled"] = True  # type: ignore[index]
    bad = tasks.pop(4)
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    options = words(
        queue, manifest, annotations=str(tmp_path / "export.json"), format="label_studio"
    )
    found = read_answers(queue, options)
    statuses = ["labelled", "labelled", "empty", "skipped", "missing", "missing"]
    assert [one.status for one in found] == statuses
    assert [one.seconds for one in found] == [30, 61, 30, 30, None, None]
    assert (found[1].annotations, found[1].annotator) == (2, "2")
    assert found[1].mask is not None
    assert set(np.unique(found[1].mask)) == {LABELS.class_names.index("sky"), 255}
    first = read_answers(queue, options.replace(several="first"))[1]
    assert first.mask is not None
    assert set(np.unique(first.mask)) == {LABELS.class_names.index("road"), 255}
    filled = read_answers(queue, options.replace(unlabelled="car"))
    assert [one.status for one in filled[:4]] == ["labelled"] * 3 + ["skipped"]

    taken, joined = take(queue, options)
    assert taken["several_annotations"] == [queue.items[1].id]
    assert taken["seconds"] == {"items": 4, "total": 151.0, "median": 30.0}
    assert len(joined.added) == 2
    # Drawn anew later: the row stays, and has another mask.
    tasks[0]["annotations"][0]["result"] = [box("car")]  # type: ignore[index]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    _, joined = take(queue, options)
    assert (joined.relabelled, len(joined.same)) == ([queue.items[0].id], 1)
    (tmp_path / "export.json").write_text(json.dumps(tasks[-1:]))
    with pytest.raises(DataError, match="none of the 1 tasks is of the queue"):
        take(queue, options)
    (tmp_path / "export.json").write_text(json.dumps([*tasks, bad]))
    with pytest.raises(DataError, match="'lamp': 1 shapes"):
        take(queue, options)


def test_a_group_that_is_held_out_stays_out_and_one_image_comes_in_once(
    queued: Queued, manifest: Path
) -> None:
    held = Manifest.read(manifest)
    queue = queued(count=8)
    taken = next(one.id for one in queue.items if one.stream not in ("cam0", "cam3"))
    table = held.table.assign(group=["x", "cam0", "y"], sample_id=[taken, "b", "seen"])
    held.with_table(table).write(manifest)
    first, second = [one for one in queue.items if one.stream not in ("cam0", "cam3")][:2]
    shutil.copyfile(queue.folder / first.image, queue.folder / second.image)
    folder = pushed(queue, "labelme")
    corrected(queue, folder, "labelme", [one.id for one in queue.items])
    _, joined = take(queue, words(queue, manifest))
    of_camera = {one.id for one in queue.items if one.stream == "cam0"}
    assert of_camera
    assert {name for name, why in joined.refused.items() if "group cam0" in why} == of_camera
    assert joined.refused[second.id] == f"the same image as {first.id}"
    assert {*joined.added, *joined.refused} == {one.id for one in queue.items}
    # The manifest had another image of the name of the first.
    (row,) = joined.manifest.table[
        joined.manifest.table["sample_id"].str.match(f"{taken}-")
    ].to_dict(orient="records")
    assert (first.id, row["group"]) == (taken, first.stream)


def test_the_interval_of_the_random_share_covers_the_quality_of_all(queued: Queued) -> None:
    """Drawn again and again from images of known counts; the mean is right, and 95 % of intervals hold it."""
    queue = queued(count=3)
    rng = np.random.default_rng(0)
    good = rng.beta(8, 3, 600)
    right = rng.binomial(1000, good[:, None], (600, 3))
    matrices = np.zeros((600, 3, 3), np.int64)
    matrices[:, range(3), range(3)] = right
    matrices[:, range(3), [1, 2, 0]] = 1000 - right
    whole = miou(matrices.sum(0))
    scores = [
        quality_of(queue, "control", [*matrices[rng.choice(600, 40, replace=False)]]).miou
        for _ in range(150)
    ]
    assert np.mean([one.value for one in scores]) == pytest.approx(whole, abs=0.005)
    assert 0.9 <= np.mean([one.low <= whole <= one.high for one in scores]) <= 0.99


def test_where_annotations_are_has_to_be_known(queued: Queued, manifest: Path) -> None:
    queue = queued(count=3)
    with pytest.raises(
        ConfigError, match="pushed to no tool yet; say which one counts with format="
    ):
        read_answers(queue, words(queue, manifest))
    Image.new("RGB", (4, 4)).save(queue.folder / "x.png")
    (queue.folder / "x.json").write_text("{}")
    options = words(
        queue, manifest, annotations=str(queue.folder / "x.json"), format="label_studio"
    )
    with pytest.raises(DataError, match="there is no file or folder nowhere"):
        read_answers(queue, options.replace(annotations="nowhere"))
    with pytest.raises(DataError, match="expected a folder, or tasks as Label Studio exports them"):
        read_answers(queue, options)
