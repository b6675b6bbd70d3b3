"""Values that are each allowed but do not go together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Check = Callable[[dict[str, object]], list[str]]

MATRIX: list[tuple[dict[str, object], str]] = [
    (
        {"model.arch": "unetplusplus", "data.crop_size": [200, 256]},
        "data.crop_size: unetplusplus takes sides in multiples of 32, at least 32; got [200, 256], "
        "nearest above is [224, 256]",
    ),
    (
        {
            "model.arch": "deeplabv3plus",
            "data.crop_size": [200, 256],
            "model.options": {"encoder_output_stride": 16},
        },
        "data.crop_size: deeplabv3plus takes sides in multiples of 16, at least 32; got [200, 256], "
        "nearest above is [208, 256]",
    ),
    (
        {"data.crop_size": [16, 64]},
        "data.crop_size: unet takes sides in multiples of 32, at least 32; got [16, 64], "
        "nearest above is [32, 64]",
    ),
    ({"model.encoder_depth": 2}, "model.encoder_depth: unet takes 3 or 4 or 5, got 2"),
    (
        {"trainer.devices": 3},
        "data.batch_size: it is shared by all devices, so it must be a multiple of 3 "
        "(trainer.devices), got 8",
    ),
    ({"trainer.devices": [0, 0]}, "trainer.devices: expected each device once, got [0, 0]"),
    ({"trainer.devices": []}, "trainer.devices: expected at least one device, got []"),
    (
        {"lr_scaling": {"rule": "sqrt", "batch_size": 8, "power": 2}},
        "lr_scaling.power: no such key (did you mean 'lr_scaling.rule'?), got 2; 'lr_scaling' takes "
        "batch_size, rule",
    ),
    (
        {"lr_scaling.rule": "lineer"},
        "lr_scaling.rule: expected one of none, linear, sqrt, got 'lineer' (did you mean 'linear'?)",
    ),
    (
        {"lr_scaling.batch_size": 0},
        "lr_scaling.batch_size: expected a whole number (1 or more), got 0",
    ),
    (
        {"trainer.micro_batch_size": "prob"},
        "trainer.micro_batch_size: expected a whole number (1 or more) or one of auto, probe, got "
        "'prob' (did you mean 'probe'?)",
    ),
    (
        {"trainer.micro_batch_size": 1, "model.arch": "deeplabv3"},
        "trainer.micro_batch_size: deeplabv3 trains on 2 images or more, got 1",
    ),
    (
        {"data.batch_size": 1, "model.arch": "pan"},
        "data.batch_size: pan trains on 2 images or more a device, got 1",
    ),
    (
        {
            "optimizer.encoder_lr": 1e-4,
            "model.freeze_encoder": True,
            "model.encoder_weights": "imagenet",
        },
        "optimizer.encoder_lr: the encoder is frozen (model.freeze_encoder=true), so it has no rate; "
        "set null, got 0.0001",
    ),
    (
        {"model.freeze_encoder": True},
        "model.freeze_encoder: a frozen encoder without model.encoder_weights stays random; give "
        "weights or set false",
    ),
    (
        {"monitor.metric": "val/miuo"},
        "monitor.metric: expected one of val/loss, val/miou, val/miou_present, val/dice, "
        "val/pixel_acc, val/class_acc, val/fwiou, val/miou_per_image, val/dice_per_image, val/iou/CLASS "
        "or val/dice/CLASS; got "
        "'val/miuo' (did you mean 'val/miou'?)",
    ),
    ({"monitor.mode": "min"}, "monitor.mode: the best val/miou_present is its max, got 'min'"),
    ({"monitor.metric": "val/loss"}, "monitor.mode: the best val/loss is its min, got 'max'"),
    (
        {"trainer.val_every": 21},
        "trainer.val_every: no validation would happen in 20 epochs; set it to 20 or less, got 21",
    ),
    (
        {"trainer.accelerator": "cpu", "trainer.precision": "fp16"},
        "trainer.precision: fp16 needs a GPU; on a CPU choose bf16 or fp32, got 'fp16'",
    ),
    (
        {"trainer.accelerator": "mps", "trainer.devices": 2},
        "trainer.devices: mps has one device, got 2",
    ),
    (
        {"loss.weights": {"ce": 1.0, "dise": 1.0, "dice": 0.5}},
        "loss.weights.dise: there is no such term (did you mean 'dice'?); terms are ce, dice",
    ),
    (
        {"loss.weights": {"ce": 1.0}},
        "loss.weights.dice: missing; give the weight of the term 'dice'",
    ),
    (
        {"loss.weights": {"ce": 0.0, "dice": 0.0}},
        "loss.weights: expected at least one weight above 0, got {ce: 0.0, dice: 0.0}",
    ),
    (
        {"augment.mixing.cutmix": 0.7, "augment.mixing.mosaic": 0.5},
        "augment.mixing: the probabilities exclude each other, so they sum to 1 at most, got 1.2",
    ),
    (
        {"model.encoder_name": "resnet19"},
        "model.encoder_name: neither timm nor segmentation-models-pytorch has such an encoder (did "
        "you mean 'resnet18'?), got 'resnet19'",
    ),
    (
        {"optimizer.name": "adamm"},
        "optimizer.name: timm has no such optimizer (did you mean 'adam'?), got 'adamm'",
    ),
    (
        {"experiment_name": "a/b"},
        "experiment_name: expected letters, digits, '.', '_', '+' or '-' (it names a folder), got "
        "'a/b'",
    ),
]


@pytest.mark.parametrize(
    ("changes", "line"), MATRIX, ids=lambda one: "-".join(one) if isinstance(one, dict) else ""
)
def test_combination_is_refused(
    problems_with: Check, changes: dict[str, object], line: str
) -> None:
    assert problems_with(changes) == [line]


@pytest.mark.parametrize(
    "changes",
    [
        {"monitor.metric": "val/iou/road"},
        {"monitor.metric": "val/loss", "monitor.mode": "min"},
        {"trainer.devices": 4},
        {"trainer.devices": "auto", "trainer.accelerator": "gpu"},
        {"trainer.micro_batch_size": 2, "trainer.devices": [0, 1]},
        # A limit, whatever the batch: so that the batch can be sampled freely beside it.
        {"trainer.micro_batch_size": 3},
        {"trainer.micro_batch_size": 8, "trainer.devices": 2},
        {"trainer.micro_batch_size": "probe"},
        {"lr_scaling": {"rule": "linear", "batch_size": 16}},
        {"lr_scaling": None},
        {"loss.weights": {"ce": 1.0, "dice": 0.0}},
        {"loss.class_weights": [1.0, 2.0]},
        {"model.arch": "unetplusplus", "data.crop_size": [64, 96]},
    ],
    ids=str,
)
def test_combination_is_allowed(problems_with: Check, changes: dict[str, object]) -> None:
    assert problems_with(changes) == []


def test_ignored_index_must_be_no_class(problems_with: Check, tmp_path: Path) -> None:
    folder = {"data.importer": "folder", "data.root": str(tmp_path)}
    named = {"class_names": ["a", "b", "c"]}

    assert problems_with({**folder, "data.options": {**named, "ignore_index": 2}}) == [
        "data.options.ignore_index: expected 3 to 255, outside the class indices, got 2"
    ]
    assert problems_with({**folder, "data.options": {**named, "ignore_index": 3}}) == []


def test_rule_does_not_repeat_what_is_wrong_already(problems_with: Check) -> None:
    assert problems_with({"data.batch_size": 0, "trainer.devices": 3}) == [
        "data.batch_size: expected a whole number (1 or more), got 0"
    ]
    found = problems_with({"data.crop_size": [0, 1], "model.arch": "fpn"})
    assert found == ["data.crop_size[0]: expected a whole number (1 or more), got 0"]
