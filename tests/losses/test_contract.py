"""Every declared loss keeps the contract that users' losses are held to, and what ours promise beside."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seglab.core.errors import ConfigError, LabelError, ShapeError
from seglab.losses import CrossEntropyLoss, DiceLoss, LovaszLoss, SegmentationLoss, WeightedSum
from seglab.testing import LossContract
from seglab.testing.loss import IGNORE, NUM_CLASSES, draw_batch, gradient
from tests.losses.cases import CASES, LossCase

# Where a loss differs from what the contract takes for granted.
DIFFERENCES: dict[str, dict[str, Any]] = {
    # Two classes of four rows each: -(0 + 1 + 2 + 3) / 4, averaged over the classes.
    "BoundaryLoss": {"minimum": -0.75, "finds_every_class": False}
}


class OurLossContract(LossContract):
    """What ours promise beside."""

    finds_every_class = True

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> None:
        torch.set_num_threads(1)

    def test_gradient_descent_finds_every_class(self) -> None:
        if not self.finds_every_class:
            pytest.skip("meant as a small part of a sum: alone it must only go the right way")
        logits, mask = draw_batch((1, 6, 6), void=0.1)
        logits = (0.1 * logits).requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=0.5)
        loss = self.make()
        for _ in range(60):
            optimizer.zero_grad()
            loss(logits, mask).backward()
            optimizer.step()
        valid = mask != IGNORE
        assert torch.equal(logits.argmax(1)[valid], mask[valid])

    def test_softmax_does_not_see_a_constant(self) -> None:
        assert gradient(self.make(), *draw_batch()).sum(1).abs().max() < 1e-6

    def test_order_of_classes_is_free(self) -> None:
        logits, mask = draw_batch()
        order = torch.tensor([2, 0, 3, 1])
        table = torch.arange(256)
        table[order] = torch.arange(NUM_CLASSES)
        loss = self.make()
        torch.testing.assert_close(loss(logits[:, order], table[mask]), loss(logits, mask))

    def test_leaves_no_state(self) -> None:
        assert self.make(class_weights=[1.0, 2.0, 3.0, 4.0]).state_dict() == {}

    def test_mistakes_of_weights_and_void_are_named(self) -> None:
        logits, mask = draw_batch()
        with pytest.raises(ShapeError, match="as many masks as logits, got 1 and 2"):
            self.make()(logits, mask[:1])
        with pytest.raises(LabelError, match=r"ignore_index outside 0\.\.3, got 2"):
            self.make(ignore_index=2)(logits, mask)
        with pytest.raises(ShapeError, match="4 class weights, one per class"):
            self.make(class_weights=[1.0, 2.0])(logits, mask)
        with pytest.raises(ConfigError, match="at least one class weight above 0"):
            self.make(class_weights=[0.0, 0.0])
        with pytest.raises(ConfigError, match="computed from the training fold"):
            self.make(class_weights="enet")


class TestLosses(OurLossContract):
    case: LossCase

    @pytest.fixture(autouse=True, params=CASES, ids=str)
    def _case(self, request: pytest.FixtureRequest) -> None:
        self.case = request.param
        vars(self).update({"minimum": 0.0} | DIFFERENCES.get(self.case.name, {}))

    def build(self, *, ignore_index: int, class_weights: Any) -> SegmentationLoss:
        return self.case.build(ignore_index=ignore_index, class_weights=class_weights)


class TestWeightedSum(OurLossContract):
    minimum = 0.0

    def build(self, *, ignore_index: int, class_weights: Any) -> SegmentationLoss:
        terms = {"ce": CrossEntropyLoss(), "dice": DiceLoss(), "lovasz": LovaszLoss()}
        weights = {"ce": 1.0, "dice": 0.5, "lovasz": 0.25}
        return WeightedSum(terms, weights, ignore_index, class_weights)
