"""One training end to end: what it leaves behind, and that its numbers are the ones it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, DataError, TrainingError
from seglab.data.importers import import_dataset
from seglab.experiment.train import TrainResult, resume, train
from seglab.metrics.scores import miou
from seglab.runs import RunRecord
from tests.reference_pages import check_files


def _train(overrides: list[str], run_dir: Path | None = None) -> TrainResult:
    return train(compose(overrides), run_dir, Console(quiet=True))


def _weights(run_dir: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    path = run_dir / "checkpoints" / name
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


@pytest.fixture(scope="module")
def finished(tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """One finished tiny training that the tests below look at."""
    return _train([*tiny_words, f"paths.runs_dir={tmp_path_factory.mktemp('finished')}"])


def test_data_without_a_val_split_is_refused_before_anything_is_decoded(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"num_images": 8, "image_size": [48, 64], "frames_per_group": 1}
    manifest = import_dataset("synth", tmp_path / "d", tmp_path / "m", "roads", options)
    left = manifest.table["split"] != "val"
    manifest.with_table(manifest.table.assign(keep=left)).write(tmp_path / "m")
    monkeypatch.setattr("seglab.experiment.parts.open_cache_of", lambda *_: pytest.fail("decoded"))
    words = [word for word in tiny if not word.startswith("data.options")]
    with pytest.raises(DataError, match=r"roads: the val split is empty: all .*seglab data split"):
        _train([*words, f"data.manifest={tmp_path / 'm'}"])


class TestFinishedRun:
    """What a finished run leaves."""

    def test_record_is_complete(self, finished: TrainResult) -> None:
        record = RunRecord.open(finished.run_dir)
        content = record.read()
        assert content["status"] == "finished"
        assert content["kind"] == "train"
        assert content["execution_plan"]["accelerator"] == "cpu"
        assert len(content["dataset_fingerprint"]) == 16
        assert content["metrics"]["val/miou"] == pytest.approx(finished.metrics["val/miou"])
        assert {"val/miou", "val/dice", "val/pixel_acc", "val/loss", "test/miou"} <= content[
            "metrics"
        ].keys()
        check_files(finished.run_dir, "training")
        assert {path.name for path in (finished.run_dir / "checkpoints").iterdir()} == {
            "best.ckpt",
            "last.ckpt",
        }

    def test_scores_follow_from_the_confusion_matrix(self, finished: TrainResult) -> None:
        confusion = np.load(finished.run_dir / "confusion.npy")
        assert confusion.dtype == np.int64
        assert finished.metrics["val/miou"] == pytest.approx(miou(confusion))

    def test_per_image_counts_add_up_to_the_matrix(self, finished: TrainResult) -> None:
        frame = pd.read_parquet(finished.run_dir / "per_image.parquet")
        confusion = np.load(finished.run_dir / "confusion.npy")
        val = frame[frame["split"] == "val"]
        assert np.array_equal(np.stack(list(val["tp"])).sum(0), confusion.diagonal())
        assert val["sample_id"].is_unique

    def test_best_score_is_the_best_of_the_history(self, finished: TrainResult) -> None:
        history = RunRecord.open(finished.run_dir).history()
        assert list(history["epoch"]) == [0, 1]
        best = history["val/miou_present"].idxmax()
        assert finished.metrics["best_epoch"] == best
        for key in ("val/miou", "val/miou_present"):
            assert finished.metrics[key] == pytest.approx(history[key][best], abs=1e-6)

    def test_figures_and_tables_are_files(self, finished: TrainResult) -> None:
        names = {path.name for path in (finished.run_dir / "figures").iterdir()}
        assert {"curves.png", "samples.png", "confusion_val.png"} <= names
        assert (finished.run_dir / "classes.md").read_text(encoding="utf-8").count("|") > 10
        verdict = json.loads((finished.run_dir / "verdict.json").read_text(encoding="utf-8"))
        # Two epochs: the losses say nothing yet, the scores of training images their part.
        assert verdict["kind"] in {"overfit", "too short to tell"}
        assert "both losses are there for 2 epochs" in verdict["sentence"]
        assert "on training images" in verdict["sentence"]


@pytest.mark.slow
def test_same_seed_gives_the_same_bits(tiny: list[str], tmp_path: Path) -> None:
    first = _train([*tiny, "trainer.max_epochs=1"], tmp_path / "a")
    second = _train([*tiny, "trainer.max_epochs=1", "trainer.num_workers=2"], tmp_path / "b")
    assert _same(_weights(first.run_dir), _weights(second.run_dir))
    assert first.metrics["val/miou"] == second.metrics["val/miou"]
    other = _train([*tiny, "trainer.max_epochs=1", "seed=1"], tmp_path / "c")
    assert not _same(_weights(first.run_dir), _weights(other.run_dir))


@pytest.mark.slow
def test_micro_batches_change_no_sample_and_no_step(tiny: list[str], tmp_path: Path) -> None:
    result = _train([*tiny, "trainer.micro_batch_size=1", "trainer.max_epochs=1"], tmp_path / "a")
    assert RunRecord.open(result.run_dir).history()["step"].iloc[-1] == 4


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["plateau", "poly", "cosine", "constant"])
def test_every_schedule_trains(tiny: list[str], tmp_path: Path, scheduler: str) -> None:
    result = _train([*tiny, f"scheduler={scheduler}"], tmp_path / "a")
    assert result.status == "finished"


def test_loss_that_is_not_finite_stops_and_names_the_samples(
    tiny: list[str], tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) at step \d+; the batch is in"
    ):
        _train([*tiny, "optimizer=sgd", "optimizer.lr=1e20"], tmp_path / "a")
    content = json.loads((tmp_path / "a" / "bad_batch.json").read_text())
    assert len(content["sample_id"]) == 4
    record = RunRecord.open(tmp_path / "a")
    assert record.status == "failed"
    assert "the loss became" in record.read()["error"]["message"]


def test_finished_run_is_not_resumed(finished: TrainResult) -> None:
    with pytest.raises(ConfigError, match="is finished; nothing is left to train"):
        resume(finished.run_dir)


@pytest.mark.slow
def test_moving_average_scores_are_those_of_the_best_epoch(tiny: list[str], tmp_path: Path) -> None:
    # A rate that explodes late: the best epoch is not the last, and the average differs from both.
    words = [
        *tiny,
        "trainer.ema_decay=0.5",
        "trainer.max_epochs=4",
        "optimizer=sgd",
        "scheduler=constant",
        "optimizer.lr=0.3",
        "seed=3",
    ]
    result = _train(words, tmp_path / "a")
    history = RunRecord.open(result.run_dir).history()
    best = history["val/miou_present"].idxmax()
    assert result.metrics["best_epoch"] == best
    assert result.metrics["val/miou"] == pytest.approx(history["val/miou"][best], abs=1e-9)


@pytest.mark.slow
def test_grey_images_train(tiny: list[str], tmp_path: Path) -> None:
    result = _train([*tiny, "model.in_channels=1", "trainer.max_epochs=1"], tmp_path / "a")
    assert (result.run_dir / "figures" / "samples.png").is_file()


@pytest.mark.slow
def test_working_size_is_scored_at_the_masks_own_size(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "data.image_size=[32,48]", "data.crop_size=[32,48]", "metrics.baseline=true"]
    result = _train([*words, "trainer.max_epochs=1"], tmp_path / "a")
    record = RunRecord.open(result.run_dir)
    # Four images of 48 x 64, less the void border.
    assert 10_000 < record.confusion("val").sum() <= 4 * 48 * 64
    assert 0.0 < result.metrics["baseline/constant/val/miou"] < 0.3


@pytest.mark.slow
def test_kornia_back_end_trains(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "augment.backend=kornia", "augment.mixing.cutmix=0.5", "trainer.max_epochs=1"]
    assert _train(words, tmp_path / "a").status == "finished"


def test_monitor_of_no_class_is_refused_before_training(tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"names no class of the data \(did you mean 'vehicle'\?\)"
    ):
        _train([*tiny, "monitor.metric=val/iou/vehicel"], tmp_path / "a")
    assert not (tmp_path / "a" / "history.csv").exists()


@pytest.mark.slow
def test_early_stopping_stops_and_is_remembered(tiny: list[str], tmp_path: Path) -> None:
    words = [
        *tiny,
        "callbacks.early_stopping.patience=1",
        "trainer.max_epochs=30",
        "optimizer.lr=1e-9",
    ]
    result = _train(words, tmp_path / "a")
    record = RunRecord.open(result.run_dir)
    epochs = len(record.history())
    assert epochs < 30
    before = _weights(result.run_dir)
    record.update(status="interrupted")
    resume(result.run_dir, Console(quiet=True))
    assert len(record.history()) == epochs
    assert _same(before, _weights(result.run_dir))
