"""Pre-annotations: what a run or the folds of a cross-validation predicted, in every export format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.annotations.format import format_names
from seglab.cli.main import main
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest
from seglab.runs import RunRecord
from seglab.runs.predictions import PREDICTIONS, prediction_path

MASK = np.kron([[0, 1], [1, 0]], np.ones((4, 4), np.uint8)).astype(np.uint8)


def data(root: Path, names: tuple[str, ...] = ("road", "car")) -> Path:
    samples = []
    for stem in ("a", "b"):
        Image.fromarray(np.dstack([MASK + ord(stem)] * 3)).save(root / f"{stem}.png")
        samples.append(SampleFiles(stem, Path(f"{stem}.png"), None, "unlabeled", stem))
    manifest = build_manifest(ImportedFiles(samples, LabelSpace(names)), root, "mine", {})
    manifest.write(root / "manifest")
    return root / "manifest"


def keep(folder: Path, stem: str, mask: np.ndarray, confidence: int) -> None:
    path = prediction_path(folder, stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    Image.fromarray(np.full_like(mask, confidence)).save(path.with_suffix(".confidence.png"))


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", "export", *map(str, words)])
    return int(stop.value.code or 0)


def test_the_surer_fold_counts_where_several_predicted(tmp_path: Path) -> None:
    manifest, folds = data(tmp_path), tmp_path / "cv"
    for number, (mask, confidence) in enumerate([(MASK, 250), (1 - MASK, 140)]):
        keep(folds / str(number), "a", mask, confidence)
    pd.DataFrame({"run_dir": ["0", "1"]}).to_parquet(folds / "fold_scores.parquet")
    words = (manifest, "--format", "masks", "--predictions", folds, "--out", tmp_path / "out")
    assert run(*words) == 0
    written = sorted((tmp_path / "out" / "masks").rglob("*.png"))
    assert [one.stem for one in written] == ["a"]
    assert (np.asarray(Image.open(written[0])) == MASK).all()


def test_what_does_not_fit_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, folder = data(tmp_path), tmp_path / "run"
    words = (manifest, "--format", "labelme", "--predictions", folder, "--out")
    assert run(*words, tmp_path / "out1") == 2
    assert "--predictions: there is no folder" in capsys.readouterr().err
    (folder / PREDICTIONS).mkdir(parents=True)
    assert run(*words, tmp_path / "out2") == 2
    assert "give the folder of that evaluation" in capsys.readouterr().err
    keep(folder, "a", MASK[:4], 200)
    keep(folder, "b", MASK + 1, 200)
    assert run(*words, tmp_path / "out3") == 1
    told = capsys.readouterr().err
    assert "a: its mask has 4 x 8 pixels" in told
    assert "b: " in told
    other = tmp_path / "other"
    other.mkdir()
    data(other, ("road", "bus")).rename(folder / "manifest")
    assert run(*words, tmp_path / "out4") == 2
    assert "knows the classes road, bus; mine has road, car" in capsys.readouterr().err


@pytest.mark.slow
def test_an_ensemble_of_folds_becomes_proposals_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """End to end: folds are trained, their ensemble predicts the test split, tools get its masks."""

    def call(*words: object) -> None:
        command = [sys.executable, "-m", "seglab.cli", *map(str, words)]
        environment = {**os.environ, "WANDB_MODE": "disabled"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    common = ("logger=none", "paths.runs_dir=runs")
    call("data", "synth", "s", "--num-images", 24, "--image-size", 48, 64)
    words = ["data=synth", "data.manifest=s/manifest", "data.crop_size=[32,32]", *common]
    words += ["model=segnet_basic", "model.width=4", "trainer.max_epochs=1", "data.batch_size=4"]
    call("train", *words, "cv=grouped", "cv.folds=2")
    records = {one: RunRecord.open(one).read() for one in _runs(tmp_path)}
    (cv,) = (one for one, record in records.items() if record["kind"] == "cv")
    assert sum(record["kind"] == "fold" for record in records.values()) == 2
    call("evaluate", f"run={cv}", "data.split=test", "save_predictions=true", *common)
    (place,) = (one / PREDICTIONS for one in _runs(tmp_path) if one not in records)
    manifest = tmp_path / "s" / "manifest"

    def export(name: str, split: str, predictions: Path) -> Path:
        out = tmp_path / f"{name}-{split}"
        words = (manifest, "--format", name, "--split", split, "--out", out)
        assert run(*words, "--predictions", predictions) == 0
        assert f"{out}: 6 images; " in capsys.readouterr().out
        return out

    for name in format_names():
        export(name, "test", place.parent)
    table = Manifest.read(manifest).table.set_index("sample_id")
    for one in table.index[table["split"] == "test"]:
        drawn = np.asarray(Image.open(tmp_path / "masks-test" / "masks" / "test" / f"{one}.png"))
        assert np.array_equal(drawn, Image.open(prediction_path(place.parent, one)))
    # Of the folds themselves each image comes from the fold that did not train on it.
    export("labelme", "val", cv)


def _runs(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "runs").rglob("run.json"))
