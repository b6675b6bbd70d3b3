"""`evaluate` gives the numbers of the training itself, and refuses what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, DataError, RunNotFoundError
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import TrainResult, train
from seglab.runs import RunRecord

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def finished(tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished tiny training whose loss weighs classes: fitted on the training split."""
    words = [*tiny_words, "loss.class_weights=enet", "logger=none"]
    return train(compose(words), tmp_path_factory.mktemp("exp") / "run", QUIET)


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_are_those_of_the_training(
    finished: TrainResult, tmp_path: Path, split: str
) -> None:
    words = [f"run={finished.run_dir}", f"data.split={split}", "suite=scores"]
    result = evaluate(compose(words, "evaluate"), tmp_path / "eval", QUIET)
    expected = {
        key: value for key, value in finished.metrics.items() if key.startswith(f"{split}/")
    }
    found = {key: result.metrics[key] for key in expected}
    assert found == pytest.approx(expected, nan_ok=True)
    record = RunRecord.open(tmp_path / "eval")
    content = record.read()
    assert (content["kind"], content["status"]) == ("eval", "finished")
    assert content["parent"] == RunRecord.open(finished.run_dir).run_id
    assert (record.confusion(split) == RunRecord.open(finished.run_dir).confusion(split)).all()


@pytest.mark.slow
def test_train_split_can_be_scored_too(finished: TrainResult, tmp_path: Path) -> None:
    cfg = compose([f"run={finished.run_dir}", "data.split=train"], "evaluate")
    assert "train/miou" in evaluate(cfg, tmp_path / "eval", QUIET).metrics


@pytest.mark.slow
def test_other_data_with_the_same_classes(finished: TrainResult, tmp_path: Path) -> None:
    words = [
        f"run={finished.run_dir}",
        "data=synth",
        "data.options.num_images=12",
        "data.options.image_size=[48,64]",
        "data.options.frames_per_group=2",
        "data.options.seed=7",
        "data.split=val",
    ]
    result = evaluate(compose(words, "evaluate"), tmp_path / "eval", QUIET)
    record = RunRecord.open(tmp_path / "eval").read()
    assert (
        record["dataset_fingerprint"]
        != RunRecord.open(finished.run_dir).read()["dataset_fingerprint"]
    )
    assert 0.0 <= result.metrics["val/miou"] <= 1.0


@pytest.mark.slow
def test_other_classes_are_refused(finished: TrainResult, tmp_path: Path, shared: Path) -> None:
    words = [f"run={finished.run_dir}", "data=camvid", f"data.root={shared / 'data' / 'camvid'}"]
    with pytest.raises(ConfigError, match=r"the run knows the classes terrain.* camvid has sky"):
        evaluate(compose([*words, "data.split=val"], "evaluate"), tmp_path / "eval", QUIET)
    assert RunRecord.open(tmp_path / "eval").status == "failed"


def test_split_without_samples_is_refused_with_those_there_are(
    finished: TrainResult, tmp_path: Path
) -> None:
    cfg = compose([f"run={finished.run_dir}"], "evaluate")
    cfg.data.split = "unlabeled"
    with pytest.raises((DataError, ConfigError), match="unlabeled"):
        evaluate(cfg, tmp_path / "eval", QUIET)


def test_checkpoint_that_is_not_there_is_refused(finished: TrainResult, tmp_path: Path) -> None:
    cfg = compose([f"run={finished.run_dir}"], "evaluate")
    cfg.checkpoint = "bets"
    with pytest.raises((RunNotFoundError, ConfigError), match="expected best, last or the path"):
        evaluate(cfg, tmp_path / "eval", QUIET)
