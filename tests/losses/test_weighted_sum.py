"""Sums: the arithmetic, what terms inherit, and every mistake in one message."""

from __future__ import annotations

import pytest
import torch

from seglab.core.errors import ConfigError
from seglab.losses import CrossEntropyLoss, DiceLoss, LovaszLoss, WeightedSum, loss_inputs
from seglab.losses.base import SegmentationLoss


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, 5, 4, generator=rng)
    mask = torch.randint(0, 3, (2, 5, 4), generator=rng)
    mask[0, 0] = 200
    return logits, mask


def test_sum_of_terms(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    weights = torch.tensor([1.0, 2.0, 3.0])
    terms = {"ce": CrossEntropyLoss(), "dice": DiceLoss(), "off": LovaszLoss()}
    loss = WeightedSum(terms, {"ce": 1, "dice": 0.5, "off": 0}, 200, weights)
    ce = CrossEntropyLoss(ignore_index=200, class_weights=weights)(*batch)
    dice = DiceLoss(ignore_index=200, class_weights=weights)(*batch)
    torch.testing.assert_close(loss.weighted_terms(*batch), torch.stack([ce, 0.5 * dice]))
    torch.testing.assert_close(loss(*batch), ce + 0.5 * dice)


def test_term_keeps_its_own_class_weights(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    terms = {"ce": CrossEntropyLoss(), "dice": DiceLoss(class_weights=[1.0, 1.0, 1.0])}
    loss = WeightedSum(terms, {"ce": 1, "dice": 1}, 200, [1.0, 5.0, 9.0])
    torch.testing.assert_close(loss.weighted_terms(*batch)[1], DiceLoss(ignore_index=200)(*batch))


def test_softmax_is_computed_once(
    batch: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    apply = loss_inputs._SoftmaxStatistics.apply
    monkeypatch.setattr(
        loss_inputs._SoftmaxStatistics, "apply", lambda *a: calls.append(1) or apply(*a)
    )
    terms = {"ce": CrossEntropyLoss(), "dice": DiceLoss()}
    WeightedSum(terms, {"ce": 1, "dice": 1}, ignore_index=200)(*batch)
    assert len(calls) == 1


class _Undefined(SegmentationLoss):
    def compute(self, pixels: loss_inputs.LossInputs) -> torch.Tensor:
        return torch.tensor(float("nan"))


def test_term_of_weight_zero_cannot_spoil_the_sum(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    terms = {"ce": CrossEntropyLoss(), "off": _Undefined()}
    loss = WeightedSum(terms, {"ce": 2, "off": 0}, ignore_index=200)
    torch.testing.assert_close(loss(*batch), 2 * CrossEntropyLoss(ignore_index=200)(*batch))


def test_class_weights_move_with_the_sum() -> None:
    loss = WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 1}, class_weights=[1.0, 2.0]).to("meta")
    assert loss.class_weights.device.type == "meta"
    assert loss.terms["ce"].class_weights.device.type == "meta"
    assert loss.state_dict() == {}


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        WeightedSum(
            {"ce": CrossEntropyLoss(), "dice": DiceLoss(), "mse": torch.nn.MSELoss()},
            {"ce": -1, "dcie": 1.0, "mse": float("inf")},
        )
    assert caught.value.problems == [
        "loss.weights: no weight for the term 'dice'",
        "loss.terms.mse: expected a seglab loss, got MSELoss",
        "loss.weights.ce: expected a finite number >= 0, got -1",
        "loss.weights.dcie: there is no such term (did you mean 'dice'?)",
        "loss.weights.mse: expected a finite number >= 0, got inf",
    ]


def test_nothing_to_sum() -> None:
    with pytest.raises(ConfigError, match="at least one term"):
        WeightedSum({}, {})
    with pytest.raises(ConfigError, match="at least one weight above 0"):
        WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 0})


def test_unresolved_word_is_refused_but_none_is_not(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    loss = WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 1}, 200, class_weights="none")
    torch.testing.assert_close(loss(*batch), CrossEntropyLoss(ignore_index=200)(*batch))
    with pytest.raises(ConfigError, match="'median_frequency' must be computed from the training"):
        WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 1}, class_weights="median_frequency")


def test_ignore_index_of_the_terms_or_of_the_sum(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = CrossEntropyLoss(ignore_index=200)(*batch)
    from_term = WeightedSum({"ce": CrossEntropyLoss(ignore_index=200)}, {"ce": 1})
    assert from_term.ignore_index == 200
    torch.testing.assert_close(from_term(*batch), expected)
    from_sum = WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 1}, ignore_index=200)
    assert from_sum.terms["ce"].ignore_index == 200
    torch.testing.assert_close(from_sum(*batch), expected)
    terms = {"ce": CrossEntropyLoss(ignore_index=200), "dice": DiceLoss()}
    with pytest.raises(ConfigError, match=r"one ignore_index .*'ce': 200, 'dice': 255"):
        WeightedSum(terms, {"ce": 1, "dice": 1})
