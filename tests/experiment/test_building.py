"""What a part of one's own gives is looked at before training: expected and got are told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.core.labels import LabelSpace
from seglab.core.parts.plugins import ENV_PLUGINS
from seglab.experiment.prepare.building import (
    build_callbacks,
    build_metrics,
    build_model_of,
    build_own_predictor,
    build_term,
    optimizer_factory,
)

LABELS = LabelSpace(("a", "b", "c"))


class Net(nn.Module):
    def __init__(self, num_classes: int, stride: int = 1, width: int = 4):
        super().__init__()
        self.backbone = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Conv2d(width, num_classes, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


class NoNet:
    def __init__(self, num_classes: int): ...


def flat(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.mean((2, 3))


def mean_loss(logits: Tensor, mask: Tensor, ignore_index: int) -> Tensor:
    return nn.functional.cross_entropy(logits, mask, ignore_index=ignore_index)


def sharpened(
    predictor: Any, image: Tensor, mask_size: tuple[int, int], factor: float = 2.0
) -> Tensor:
    return predictor(image, mask_size) * factor


class Half:
    def __init__(self, predictor: Any, num_classes: int):
        self.predictor = predictor

    def __call__(self, image: Tensor, mask_size: tuple[int, int]) -> Tensor:
        return self.predictor(image, mask_size)[:, :, ::2]


def word(confusion: Any) -> str:
    return "good"


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module is known under one name, and is named."""
    import sys

    monkeypatch.setitem(sys.modules, "own_things", sys.modules[__name__])
    monkeypatch.setenv(ENV_PLUGINS, "own_things")


def own(name: str, **options: Any) -> dict[str, Any]:
    return {"_target_": f"own_things.{name}", **options}


def test_a_plain_module_is_a_segmenter() -> None:
    node = own("Net", facts={"stride": 4, "encoder": "backbone", "head": "head"})
    model = build_model_of(node, 3, 3, (16, 16))

    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    assert (model.size_divisor, model.min_train_batch) == (4, 1)
    assert set(model.state_dict()) == {
        f"net.{part}.{kind}" for part in ("backbone", "head") for kind in ("weight", "bias")
    }
    adam = optimizer_factory({"_target_": "torch.optim.RAdam", "lr": 1.0}, 0.1, 0.01)(model)
    assert {group["name"]: group["lr"] for group in adam.param_groups} == {
        "encoder/decay": 0.01,
        "encoder/no_decay": 0.01,
        "rest/decay": 0.1,
        "rest/no_decay": 0.1,
    }


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (own("Net", stride=2), r"give logits \(1, 3, 16, 16\) for an image .*got \(1, 3, 8, 8\)"),
        (own("NoNet"), "expected own_things.NoNet to give a torch.nn.Module, got NoNet"),
        (own("Net", width="x", hight=1), "2 configuration problems"),
        (own("Net", width=-1), "own_things.Net cannot be built of this"),
        (own("Net", facts={"encoder": "body"}), "model.facts.encoder: net has no module 'body'"),
    ],
)
def test_a_model_that_is_none_is_told_before_training(node: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build_model_of(node, 3, 3, (16, 16))


def test_a_loss_of_ones_own_is_zero_where_nothing_counts() -> None:
    term = build_term("loss.terms.mine", own("mean_loss"), LABELS, None)
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)

    void = term(logits, torch.full((2, 4, 4), 255))
    void.backward()
    assert void == 0
    assert not logits.grad.any()
    assert not term.is_mean_over_images


def test_wrong_losses_scores_and_callbacks_are_told() -> None:
    with pytest.raises(ConfigError, match=r"flat to give a scalar tensor, got \(2, 3\)"):
        build_term("loss.terms.mine", own("flat"), LABELS, None)
    with pytest.raises(ConfigError, match="takes no class_weights"):
        build_term("loss.terms.mine", own("mean_loss"), LABELS, torch.ones(3))
    with pytest.raises(ConfigError, match="word gives no number for a confusion matrix"):
        build_metrics({"mine": own("word")}, LABELS)
    with pytest.raises(ConfigError, match=r"give a pytorch_lightning\.Callback, got NoNet"):
        build_callbacks({"mine": own("NoNet", num_classes=3)})
    model = build_model_of(own("Net"), 3, 3, (16, 16))
    with pytest.raises(ConfigError, match=r"torch\.optim\.LBFGS cannot be built of this"):
        optimizer_factory({"_target_": "torch.optim.LBFGS", "lr": 1.0}, 1.0, None)(model)


class TestPredictor:
    @staticmethod
    def whole(image: Tensor, mask_size: tuple[int, int] | None = None) -> Tensor:
        return torch.ones(len(image), 3, *(mask_size or image.shape[-2:]))

    def test_goes_around_the_model(self) -> None:
        predict = build_own_predictor(own("sharpened", factor=3.0), self.whole, 3)
        assert torch.equal(predict(torch.zeros(2, 3, 8, 8), (4, 6)), torch.full((2, 3, 4, 6), 3.0))

    def test_another_size_is_told(self) -> None:
        predict = build_own_predictor(own("Half"), self.whole, 3)
        with pytest.raises(ConfigError) as caught:
            predict(torch.zeros(2, 3, 8, 8))
        assert str(caught.value).endswith(
            "predict.predictor: expected own_things.Half to give logits (2, 3, 8, 8) for images "
            "(2, 3, 8, 8), got (2, 3, 4, 8)"
        )

    def test_options_are_checked(self) -> None:
        with pytest.raises(ConfigError, match=r"did you mean 'predict\.predictor\.factor'"):
            build_own_predictor(own("sharpened", facto=3.0), self.whole, 3)
