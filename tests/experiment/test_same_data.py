"""A run, a fold or a study goes on only with the data it began with; what changed is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import DataError
from seglab.data.importers import import_dataset
from seglab.data.manifest import Manifest
from seglab.data.subset import subset_train
from seglab.experiment.evaluate import evaluate
from seglab.experiment.prepare.same_data import (
    require_same_data,
    require_same_data_as_other_trials,
    training_images_in,
)
from seglab.experiment.train import resume, train
from seglab.runs import RunRecord

OPTIONS = {"class_names": ["left", "right"], "val_fraction": 0.25}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(8):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 20 + number :] = 1
        image = rng.integers(0, 90, (48, 64, 3), dtype=np.uint8) + 120 * mask[..., None]
        for kind, content in (("images", image), ("masks", mask)):
            (tmp_path / "raw" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(tmp_path / "raw" / kind / f"s{number}.png")
    return tmp_path / "raw"


def imported(root: Path) -> Manifest:
    return import_dataset("folder", root, root.parent / "out", "tiny", OPTIONS)


def mirror(path: Path) -> None:
    Image.fromarray(np.asarray(Image.open(path))[:, ::-1].copy()).save(path)


def recorded(run_dir: Path, manifest: Manifest | None, **facts: Any) -> RunRecord:
    """Return the record of a run, as far as it is when a training has seen its data."""
    config = {"data": {"name": "tiny", "importer": "folder", "root": "raw", "options": OPTIONS}}
    facts = {"experiment": "e", "kind": "train", "config_yaml": "", "config": config} | facts
    record = RunRecord.create(run_dir, **facts)
    if manifest is not None:
        manifest.write(run_dir / "manifest")
        record.update(dataset_fingerprint=manifest.fingerprint)
    return record


def test_changed_data_is_refused_with_folder_and_remedy(root: Path, tmp_path: Path) -> None:
    manifest = imported(root)
    record = recorded(tmp_path / "runs" / "one", manifest)
    require_same_data(record, manifest, "start a new run")
    require_same_data(recorded(tmp_path / "runs" / "new", None), manifest, "start a new run")
    for name in ("s1", "s2"):
        mirror(root / "masks" / f"{name}.png")
    now = imported(root)
    with pytest.raises(DataError) as caught:
        require_same_data(record, now, "start a new run")
    message = str(caught.value)
    assert (
        f"the data under {root} changed since {record.run_dir} began (2 masks changed)" in message
    )
    assert f"{manifest.fingerprint} then, {now.fingerprint} now" in message
    assert "Put the files back as they were, or start a new run" in message
    # Of a record whose snapshot is gone, the change is refused all the same.
    (record.run_dir / "manifest" / "manifest.parquet").unlink()
    with pytest.raises(DataError, match=r"began: fingerprint"):
        require_same_data(record, now, "start a new run")


def test_trials_of_a_study_are_trained_on_the_same_data(root: Path, tmp_path: Path) -> None:
    manifest = imported(root)
    trials = tmp_path / "trials"
    recorded(trials / "t0", subset_train(manifest, 0.5, 0), kind="trial", parent="study-1")
    second = recorded(trials / "t1", None, kind="trial", parent="study-1")
    # Parts of the same data may differ from each other.
    require_same_data_as_other_trials(second, manifest)
    require_same_data_as_other_trials(second, subset_train(manifest, 0.7, 1))
    mirror(root / "masks" / "s0.png")
    now = imported(root)
    for part in (now, subset_train(now, 0.5, 0)):
        with pytest.raises(DataError, match=r"changed since the study began.*1 mask changed"):
            require_same_data_as_other_trials(second, part)
    stranger = recorded(trials / "t2", None, kind="trial", parent="study-2")
    require_same_data_as_other_trials(stranger, now)
    other_data = recorded(
        trials / "t3", None, kind="trial", parent="study-1", config={"data": {"name": "else"}}
    )
    require_same_data_as_other_trials(other_data, now)


def test_images_that_were_trained_on_are_told(root: Path) -> None:
    manifest = imported(root)
    assert training_images_in(manifest, manifest, "val") is None
    assert training_images_in(manifest, manifest, "train") is None
    table = manifest.table.assign(split="test")
    said = training_images_in(manifest, manifest.with_table(table), "test")
    assert said is not None
    assert said.startswith("6 of 8 images of split 'test' are byte for byte images the run was")


@pytest.mark.slow
def test_a_run_on_data_that_changed_is_neither_scored_nor_gone_on_with(
    root: Path, tmp_path: Path, tiny: list[str]
) -> None:
    copy = root / "images" / "s0.png"
    for number in range(1, 8):
        (root / "images" / f"s{number}.png").write_bytes(copy.read_bytes())
    words = [
        *[word for word in tiny if not word.startswith("data")],
        "data=folder",
        f"data.root={root}",
        "data.options.class_names=[left,right]",
        "data.crop_size=[48,64]",
        "data.batch_size=2",
        "trainer.max_epochs=1",
        "logger=none",
        f"paths.data_dir={tmp_path / 'data'}",
        f"paths.cache_dir={tmp_path / 'cache'}",
    ]
    said = io.StringIO()
    result = train(compose(words), tmp_path / "run", Console(file=said, width=200))
    assert "warning: image files that are byte for byte in several splits" in said.getvalue()
    mirror(root / "masks" / "s3.png")
    asked = [
        f"run={result.run_dir}",
        "data.split=val",
        "suite=scores",
        f"paths.data_dir={tmp_path / 'data'}",
        f"paths.cache_dir={tmp_path / 'cache'}",
    ]
    with pytest.raises(DataError, match=r"raw changed since .* began \(1 mask changed\)"):
        evaluate(compose(asked, "evaluate"), tmp_path / "eval", Console(quiet=True))
    record = RunRecord.open(result.run_dir)
    kept, history = record.read(), record.history()
    with pytest.raises(DataError, match=r"raw changed since .* began \(1 mask changed\)"):
        resume(result.run_dir, Console(quiet=True), max_epochs=2)
    assert record.read() == kept
    assert kept["status"] == "finished"
    assert record.history().equals(history)
