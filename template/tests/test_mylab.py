"""What training asks of the parts: the contracts of seglab, a few lines for each."""

from pathlib import Path
from typing import Any

from mylab.data import draw_shapes, read_shapes
from mylab.loss import HingeLoss
from mylab.model import TinyNet

from seglab.testing import ImporterContract, LossContract, ModelContract


class TestTinyNet(ModelContract):
    facts = {"stride": 4, "min_size": 4, "encoder": "encoder"}

    def build(self, **supplied: Any) -> TinyNet:
        return TinyNet(width=8, **supplied)


class TestHingeLoss(LossContract):
    minimum = 0.0

    def build(self, ignore_index: int, class_weights: Any) -> HingeLoss:
        return HingeLoss(ignore_index, class_weights)


class TestShapes(ImporterContract):
    splits = {"train": 4, "val": 1, "test": 1}

    def build(self) -> Any:
        return read_shapes

    def write_data(self, root: Path) -> None:
        draw_shapes(root, count=6)
