"""What `evaluate` measures beside the scores, on a real tiny run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import DataError
from seglab.core.sample_size import MIN_UNITS
from seglab.experiment.evaluate import EvaluateResult, evaluate
from seglab.experiment.scoring.intervals import score_sentence
from seglab.experiment.scoring.predictors import Renormalised
from seglab.experiment.train import TrainResult, train
from seglab.runs import RunRecord
from tests.reference_pages import check_files

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def trained(tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    words = [*tiny_words, "logger=none", "metrics.baseline=false"]
    return train(compose(words), tmp_path_factory.mktemp("exp") / "run", QUIET)


@pytest.fixture(scope="module")
def measured(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> EvaluateResult:
    words = [
        f"run={trained.run_dir}",
        "suite.corruptions=[brightness,gaussian_noise]",
        "suite.severities=[1,5]",
        "suite.gallery=6",
        'objective.targets=["miou >= 0.99"]',
    ]
    folder = tmp_path_factory.mktemp("exp") / "eval"
    return evaluate(compose(words, "evaluate"), folder, QUIET)


def table(result: EvaluateResult, name: str) -> pd.DataFrame:
    return pd.read_parquet(result.run_dir / f"{name}.parquet")


def evaluated(trained: TrainResult, folder: Path, *words: str) -> dict[str, float]:
    base = [f"run={trained.run_dir}", "suite=scores", "logger=none"]
    return evaluate(compose([*base, *words], "evaluate"), folder, QUIET).metrics


@pytest.mark.slow
def test_interval_of_few_images_is_too_few_to_tell_everywhere(
    measured: EvaluateResult, trained: TrainResult
) -> None:
    check_files(measured.run_dir, "evaluation")
    for run in (measured, trained):
        record = RunRecord(run.run_dir)
        stored = record.read()["metrics"]
        images = stored["val/interval_units"]
        assert images < MIN_UNITS
        assert (
            stored["val/miou_low"] is stored["val/miou_high"] is stored["val/iou_low/sky"] is None
        )
        assert score_sentence(record.metrics, "val").endswith(
            f", too few images to tell an interval ({images}; it takes {MIN_UNITS})"
        )
    slices = table(measured, "slices")
    assert slices.loc[slices["images"] < MIN_UNITS, "miou_low"].isna().all()
    assert trained.metrics["cost/params_m"] == measured.metrics["cost/params_m"]
    facts = RunRecord(measured.run_dir).read()["wandb"]
    (shown,) = (measured.run_dir / facts["dirs"][0]).glob("*.wandb")
    assert b"too few images to tell an interval" in shown.read_bytes()


@pytest.mark.slow
def test_interval_of_enough_images_holds_the_score(trained: TrainResult, tmp_path: Path) -> None:
    scores = evaluated(trained, tmp_path / "train", "data.split=train", "suite.cost=false")
    assert scores["train/interval_units"] >= MIN_UNITS
    assert 0 < scores["train/miou_low"] < scores["train/miou"] < scores["train/miou_high"] < 1
    assert "95 % interval 0." in score_sentence(scores, "train")


def test_slices_of_pixels_add_up_to_the_whole(measured: EvaluateResult) -> None:
    slices = table(measured, "slices").set_index("slice")
    whole = slices.loc["all", "pixels"]
    assert slices.loc["boundary band", "pixels"] + slices.loc["interior", "pixels"] == whole
    assert slices.loc[slices["slice_kind"] == "size", "pixels"].sum() == whole
    assert slices.loc["all", "miou"] == pytest.approx(measured.metrics["val/miou"])
    groups = slices[slices["slice_kind"] == "group"]
    assert groups.empty or groups["images"].sum() == slices.loc["all", "images"]


def test_boundaries_are_scored_in_total_and_an_image(measured: EvaluateResult) -> None:
    for name in ("boundary_iou", "boundary_f1", "surface_dice"):
        assert 0 <= measured.metrics[f"val/{name}"] <= 1
    per_image = RunRecord(measured.run_dir).per_image()
    assert {"boundary_iou", "boundary_f1", "hd95", "hd95_missed"} <= set(per_image)
    missed, penalty = (measured.metrics[f"val/hd95_{end}"] for end in ("missed", "penalty"))
    assert missed == per_image["hd95_missed"].sum()
    assert measured.metrics["val/hd95"] <= penalty


@pytest.mark.parametrize("name", ["reliability", "slices", "corruptions", "samples"])
def test_figures_are_drawn(measured: EvaluateResult, name: str) -> None:
    width, height = Image.open(measured.run_dir / "figures" / f"{name}.png").size
    assert width > 500
    assert height > 200


def test_calibration_and_its_tables(measured: EvaluateResult) -> None:
    reliability = table(measured, "reliability")
    top = reliability[reliability["class_name"] == "all"]
    gap = (top["confidence"] - top["accuracy"]).abs().fillna(0) * top["count"]
    assert gap.sum() / top["count"].sum() == pytest.approx(measured.metrics["val/ece"], abs=1e-6)
    curve = table(measured, "risk_coverage")
    assert curve["coverage"].is_monotonic_increasing
    assert curve["risk"].iloc[-1] == pytest.approx(1 - measured.metrics["val/pixel_acc"])


def test_corruptions_start_at_the_clean_score(measured: EvaluateResult) -> None:
    stress = table(measured, "corruptions")
    assert stress.iloc[0].to_dict() | {"dice": 0} == {
        "corruption": "none",
        "severity": 0,
        "miou": measured.metrics["val/miou"],
        "relative": 1.0,
        "dice": 0,
    }
    assert stress["corruption"].tolist()[1:] == ["brightness"] * 2 + ["gaussian_noise"] * 2
    assert stress["severity"].tolist()[1:] == [1, 5, 1, 5]
    assert measured.metrics["val/relative_miou"] == pytest.approx(stress["relative"][1:].mean())


def test_gallery_shows_each_case_with_its_error(measured: EvaluateResult) -> None:
    gallery = table(measured, "gallery")
    assert gallery["sample_id"].nunique() <= 6
    assert {"fixed", "worst image"} <= set(gallery["reason"])
    assert set(gallery["error_type"]) <= {"boundary", "missed", "hallucination", "confusion"}
    row = gallery.iloc[0]
    sizes = {
        Image.open(measured.run_dir / row[kind]).size
        for kind in ("image", "truth", "prediction", "confidence")
    }
    assert len(sizes) == 1
    shown = np.asarray(Image.open(measured.run_dir / row["confidence"]))
    assert shown.dtype == np.uint8
    assert shown.max() > 0


def test_objective_is_judged_in_a_file(measured: EvaluateResult) -> None:
    text = (measured.run_dir / "objective.md").read_text()
    assert "miou >= 0.99" in text
    assert "missed" in text


def test_evaluation_is_shown_in_the_tracker(measured: EvaluateResult) -> None:
    facts = RunRecord(measured.run_dir).read()["wandb"]
    assert facts["mode"] == "offline"
    folder = measured.run_dir / facts["dirs"][0]
    pictures = list((folder / "files" / "media").rglob("*.png"))
    assert any("gallery" in str(path) for path in (folder / "files" / "media").rglob("*"))
    assert pictures


@pytest.mark.slow
def test_windows_and_views_change_how_it_predicts(trained: TrainResult, tmp_path: Path) -> None:
    plain = evaluated(trained, tmp_path / "plain")
    whole_window = evaluated(trained, tmp_path / "window", "predict.window=[48,64]")
    assert whole_window["val/miou"] == pytest.approx(plain["val/miou"], abs=1e-3)
    small = evaluated(trained, tmp_path / "small", "predict=sliding", "predict.window=[32,32]")
    mirrored = evaluated(trained, tmp_path / "tta", "predict=tta")
    assert small["val/miou"] != plain["val/miou"]
    assert mirrored["val/miou"] != plain["val/miou"]


@pytest.mark.slow
def test_ensemble_with_itself_is_itself(trained: TrainResult, tmp_path: Path) -> None:
    alone = evaluated(trained, tmp_path / "a", "data.split=test")
    word = f"predict.ensemble=[{trained.run_dir}]"
    both = evaluated(trained, tmp_path / "b", "data.split=test", word)
    assert both["test/miou"] == pytest.approx(alone["test/miou"], abs=1e-6)
    with pytest.raises(DataError, match="not new to all models"):
        evaluated(trained, tmp_path / "c", "data.split=train", word)


def test_model_takes_images_normalised_for_another() -> None:
    class Sees(torch.nn.Module):
        mean, std, size_divisor, min_size = (0.1, 0.2, 0.3), (0.5, 0.4, 0.2), 1, 1
        num_classes = 3

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image

    pixels = torch.rand(1, 3, 4, 5)
    other_mean, other_std = torch.tensor([0.4, 0.4, 0.5]), torch.tensor([0.2, 0.3, 0.1])
    given = (pixels - other_mean[:, None, None]) / other_std[:, None, None]
    net = Renormalised(Sees(), other_mean.tolist(), other_std.tolist())
    own = (pixels - torch.tensor(Sees.mean)[:, None, None]) / torch.tensor(Sees.std)[:, None, None]
    torch.testing.assert_close(net(given), own)
