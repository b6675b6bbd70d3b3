from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.manifest import Manifest
from seglab.experiment import budget as module
from seglab.experiment.budget import (
    Budget,
    ModelBudget,
    common_size,
    compose_models,
    estimate_step_memory,
    format_budget,
    measure_budget,
)
from seglab.inference.cost import Cost

WORDS = (
    "data.crop_size=[32,64]",
    "data.batch_size=4",
    "trainer.max_epochs=5",
    "trainer.accelerator=cpu",
    "trainer.num_threads=1",
    "trainer.precision=fp32",
)


def make_manifest(train: int = 10, val: int = 3) -> Manifest:
    """Images are never read, so there are none."""
    rows = []
    for number in range(train + val):
        size = (40, 70) if number else (90, 90)
        name = f"s{number:02}"
        rows.append(
            {
                "sample_id": name,
                "image": f"{name}.png",
                "mask": f"{name}m.png",
                "height": size[0],
                "width": size[1],
                "split": "train" if number < train else "val",
                "group": name,
                "annotator": None,
                "tags": [],
                "sha256": None,
                "phash": None,
                "class_pixels": [size[0] * size[1], 0, 0],
                "flags": [],
                "keep": True,
            }
        )
    labels = LabelSpace(("road", "car"))
    return Manifest(pd.DataFrame(rows), labels, Path("/data"), "tiny", "index", {})


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "apply_threads", lambda plan: None)


def configurations(*words: str) -> dict[str, DictConfig]:
    return compose_models(["segnet_basic"], [*WORDS, "model.width=4", *words])


def test_small_model_is_measured() -> None:
    found = measure_budget(make_manifest(), configurations())
    assert (found.image_hw, found.crop_hw) == ((40, 70), (32, 64))
    assert (found.batch_size, found.epochs, found.num_train, found.num_val) == (4, 5, 10, 3)
    (one,) = found.models
    assert (one.model, one.encoder, one.memory_is, one.note) == (
        "segnet_basic",
        "-",
        "estimated",
        "",
    )
    assert 0 < one.params_m < 0.02
    assert 0 < one.gflops < 1
    assert one.latency_ms > 0
    assert one.step_ms > 0
    assert one.memory_mb > 4 * 4 * one.params_m


def test_hours_are_steps_and_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost(params_m=1.5, gflops=2.5, latency_ms=2000, peak_memory_mb=math.nan)
    monkeypatch.setattr(module, "_measure_on_device", lambda *args: (cost, 123.0, 30.0))
    # 10 images make 2 steps of 4 (the rest is dropped), 30 s each; 3 validation images, 2 s each.
    (one,) = measure_budget(make_manifest(), configurations()).models
    assert one.hours == pytest.approx(5 * (2 * 30 + 3 * 2) / 3600)
    assert (one.params_m, one.gflops, one.step_ms, one.memory_mb) == (1.5, 2.5, 30000, 123)
    (one,) = measure_budget(make_manifest(), configurations("data.drop_last=false")).models
    assert one.hours == pytest.approx(5 * (3 * 30 + 3 * 2) / 3600)
    (one,) = measure_budget(make_manifest(), configurations("trainer.val_every=5")).models
    assert one.hours == pytest.approx((5 * 2 * 30 + 3 * 2) / 3600)


def test_what_does_not_fit_is_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(module, "_measure_on_device", fail)
    found = measure_budget(make_manifest(), configurations())
    assert found.models[0].note == "does not fit into memory"
    assert math.isnan(found.models[0].hours)
    assert "does not fit into memory" in format_budget(found)


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(module, "_measure_on_device", fail)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        measure_budget(make_manifest(), configurations())


def test_models_are_composed_with_the_encoder_where_they_have_one() -> None:
    found = compose_models(["unet", "segnet_basic", "unet"], WORDS, "mobilenetv3_small_100")
    assert list(found) == ["unet", "segnet_basic"]
    assert found["unet"].model.encoder_name == "mobilenetv3_small_100"
    assert found["unet"].model.encoder_weights is None
    assert "encoder_name" not in found["segnet_basic"].model


def test_all_mistakes_in_words_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_models(["unte", "pspnet"], ["data.batch_size=0"])
    assert len(caught.value.problems) == 2
    assert "no such choice 'unte' (did you mean 'unet'?)" in caught.value.problems[0]
    with pytest.raises(ConfigError, match="deeplabv3plus takes sides in multiples of"):
        compose_models(["deeplabv3plus"], ["data.crop_size=[30,64]"])


def test_what_cannot_be_budgeted() -> None:
    with pytest.raises(ConfigError, match="--models: expected at least one model"):
        measure_budget(make_manifest(), {})
    with pytest.raises(ConfigError, match="at most the 2 training images, got 4"):
        measure_budget(make_manifest(train=2), configurations())
    with pytest.raises(DataError, match="training split is empty"):
        measure_budget(make_manifest(train=0), configurations())


def test_common_size_is_the_most_frequent() -> None:
    assert common_size(make_manifest()) == (40, 70)
    assert common_size(make_manifest(train=1, val=1)) == (90, 90)


def test_step_memory_by_hand() -> None:
    model = nn.Conv2d(3, 5, 1, bias=False)
    image = torch.zeros(2, 3, 8, 8)
    parameters = 4 * (15 * 4)  # weights, gradients, two averages
    batch = 2 * 3 * 64 * 4  # the convolution keeps its input
    softmax = 2 * 5 * 64 * 4
    target = 2 * 64 * 8
    expected = parameters + batch + softmax + target
    assert estimate_step_memory(model, image) == pytest.approx(expected, abs=64)
    assert model.training


def test_step_memory_grows_with_the_batch_but_not_its_parameters() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    one, two, three = (estimate_step_memory(model, torch.zeros(n, 3, 16, 16)) for n in (1, 2, 3))
    assert two - one == three - two > 0
    assert not model.training


def test_table_says_what_it_holds_for() -> None:
    row = ModelBudget("unet", "resnet18", 14.33, 31.2, 45.67, 746.0, "estimated", 912.3, 1.234)
    lines = format_budget(Budget([row], (360, 480), (320, 416), 8, 50, 367, 101, "plan: x"))
    head, plan, _, columns, values = lines.splitlines()[:5]
    assert head == (
        "Budget: 367 training and 101 validation images of 360x480, crops of 320x416, batch 8, "
        "50 epochs"
    )
    assert plan == "plan: x"
    assert "hours, 50 epochs" in columns
    assert values.split() == [
        "unet",
        "resnet18",
        "14.33",
        "31.20",
        "45.7",
        "746",
        "estimated",
        "912",
        "1.23",
    ]
