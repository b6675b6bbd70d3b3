"""Images of five bands from the file to the score: trained, resumed, evaluated, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.bands import Bands
from seglab.core.errors import ConfigError, DataError
from seglab.engine.step.module import SegmentationModule
from seglab.experiment.evaluate import evaluate
from seglab.experiment.parts import open_dataset_of, open_manifest_of
from seglab.experiment.prepare.bands import num_channels
from seglab.experiment.train import TrainResult, resume, train
from seglab.runs import RunRecord
from tests.multiband import draw, write_dataset

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("bands")
    root = write_dataset(folder / "data", 10)
    return [
        "data=folder",
        f"data.root={root}",
        "data.options.class_names=[ground,disc]",
        "data.display_bands=[4,3,2]",
        "data.crop_size=[64,64]",
        "data.batch_size=4",
        "model=segnet_basic",
        "model.width=8",
        "model.kernel_size=3",
        "augment=light",
        "augment.colour.saturation=0",
        "augment.noise.p=0.5",
        "optimizer.lr=0.01",
        "trainer.max_epochs=3",
        "trainer.num_workers=0",
        "trainer.num_threads=1",
        "trainer.accelerator=cpu",
        "callbacks.progress=off",
        "logger=none",
        "metrics.baseline=true",
        f"paths.data_dir={folder / 'sd'}",
        f"paths.cache_dir={folder / 'cache'}",
        f"paths.runs_dir={folder / 'runs'}",
    ]


@pytest.fixture(scope="module")
def finished(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(compose(words), tmp_path_factory.mktemp("run") / "a", QUIET)


def test_statistics_are_of_the_training_split_alone(
    words: list[str], finished: TrainResult
) -> None:
    recorded = Bands.from_dict(RunRecord.open(finished.run_dir).read()["bands"])
    train_ids = open_manifest_of(compose(words)).split("train")["sample_id"]
    assert 0 < len(train_ids) < 10
    pixels = np.concatenate([draw(int(name[-2:]))[0].reshape(-1, 5) for name in train_ids])
    np.testing.assert_allclose(recorded.mean, pixels.mean(0), rtol=1e-9)
    np.testing.assert_allclose(recorded.std, pixels.std(0), rtol=1e-9)
    assert (recorded.numbers, recorded.display) == ((1, 2, 3, 4, 5), (4, 3, 2))


def test_colour_baseline_sees_the_display_bands(finished: TrainResult) -> None:
    # Band 4, which alone tells the classes apart, is shown as red.
    assert finished.metrics["baseline/colour/val/miou"] > 0.9
    assert finished.metrics["cost/params_m"] > 0


def test_evaluation_gives_the_numbers_of_the_training(
    finished: TrainResult, words: list[str], tmp_path: Path
) -> None:
    chosen = [
        f"run={finished.run_dir}",
        "data.split=val",
        "suite=scores",
        "suite.gallery=2",
        "suite.corruptions=[contrast]",
        "suite.severities=[5]",
        *words[-3:],
    ]
    result = evaluate(compose(chosen, "evaluate"), tmp_path / "e", QUIET)
    assert result.metrics["val/miou"] == finished.metrics["val/miou"]
    assert list((tmp_path / "e" / "gallery").glob("*.png"))
    with pytest.raises(ConfigError, match="rain are defined for RGB"):
        evaluate(compose([*chosen, "suite.corruptions=[rain]"], "evaluate"), tmp_path / "f", QUIET)


@pytest.mark.slow
def test_other_data_is_read_with_the_bands_of_the_run(
    finished: TrainResult, words: list[str], tmp_path: Path
) -> None:
    common = [
        f"run={finished.run_dir}",
        "data=folder",
        "data.split=val",
        "suite=scores",
        "data.options.class_names=[ground,disc]",
        *words[-3:],
    ]
    six = write_dataset(tmp_path / "six", 6, count=6)
    result = evaluate(compose([*common, f"data.root={six}"], "evaluate"), tmp_path / "a", QUIET)
    assert RunRecord.open(result.run_dir).read()["bands"]["numbers"] == [1, 2, 3, 4, 5]
    eight = write_dataset(tmp_path / "eight", 6, dtype="uint8")
    with pytest.raises(DataError, match=r"other bands \(5 of uint16\) than .* \(5 of uint8\)"):
        evaluate(compose([*common, f"data.root={eight}"], "evaluate"), tmp_path / "b", QUIET)


@pytest.mark.slow
def test_resumed_run_keeps_its_statistics_and_ends_with_the_same_bits(
    words: list[str], finished: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = SegmentationModule.on_train_epoch_start

    def fail_in_the_last(self: SegmentationModule) -> None:
        if self.current_epoch == 2:
            raise RuntimeError("the power went")
        begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationModule, "on_train_epoch_start", fail_in_the_last)
        with pytest.raises(RuntimeError, match="the power went"):
            train(compose(words), tmp_path / "cut", QUIET)
    assert resume(tmp_path / "cut", QUIET).status == "finished"
    records = [RunRecord.open(folder) for folder in (finished.run_dir, tmp_path / "cut")]
    assert records[0].read()["bands"] == records[1].read()["bands"]
    states = [
        torch.load(record.checkpoints_dir / "last.ckpt", weights_only=True)["state_dict"]
        for record in records
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("word", "channels"), [("data.bands=[4,3,2]", 3), ("data.bands=[4]", 1), ("data.bands=null", 5)]
)
def test_channels_of_the_model_follow_the_data(words: list[str], word: str, channels: int) -> None:
    kept = [one for one in words if not one.startswith("data.display")]
    cfg = compose([*kept, word])
    dataset = open_dataset_of(cfg)
    assert num_channels(cfg, dataset.manifest) == dataset.cache.channels == channels


def test_steps_of_colour_are_refused_before_training(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add augment.colour.saturation=0 \("):
        train(compose([*words, "augment.colour.saturation=0.3"]), tmp_path / "a", QUIET)
