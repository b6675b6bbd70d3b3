"""The contract of models passes a plain module and names what a faulty one gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seglab.testing import ModelContract


class Plain(nn.Module):
    """A convolution at half the size, as a user writes it: nothing of seglab in it."""

    def __init__(self, num_classes: int, in_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(in_channels, width, 3, 2, 1), nn.BatchNorm2d(width))
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        small = self.head(self.down(image).relu())
        return nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear")


class TestPlain(ModelContract):
    facts = {"stride": 2, "min_size": 2, "encoder": "down"}  # noqa: RUF012 - read only

    def build(self, **supplied: Any) -> nn.Module:
        return Plain(**supplied)

    def test_encoder_is_the_part_that_was_named(self) -> None:
        model = self.model()
        assert sum(p.numel() for p in model.encoder.parameters()) == 3 * 8 * 9 + 8 + 16


class TestFourBands(ModelContract):
    in_channels = 4
    facts = {"stride": 2, "min_size": 2}  # noqa: RUF012

    def build(self, num_classes: int, in_channels: int) -> nn.Module:
        return Plain(num_classes, in_channels, width=4)


class Sees(Plain):
    """Normalises by the batch it is in, in evaluation too."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image / image.std())


class Noisy(Plain):
    def forward(self, image: Tensor) -> Tensor:
        logits = super().forward(image)
        return logits + torch.randn_like(logits)


class Forgets(Plain):
    """Scales by a number that is in no checkpoint."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.scale = float(torch.rand(()) + id(self) % 97)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) * self.scale


class Counts(Plain):
    """Changes in evaluation."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(image)


@pytest.mark.parametrize(
    ("build", "test", "words"),
    [
        (Plain, "test_logits_of_an_odd_image_have_its_size", "logits (1, 3, 33, 34) for an image"),
        (Sees, "test_images_of_a_batch_do_not_touch_each_other", "an image's logits in any batch"),
        (Noisy, "test_evaluation_is_repeatable_and_changes_nothing", "the same logits twice"),
        (Forgets, "test_state_dict_restores_the_same_logits", "something is not saved in it"),
        (Counts, "test_evaluation_is_repeatable_and_changes_nothing", "got other net.seen"),
    ],
)
def test_fault_is_named(build: Callable[..., nn.Module], test: str, words: str) -> None:
    facts = {} if build is Plain else {"stride": 2}
    with pytest.raises(AssertionError) as caught:
        ModelContract.check(build, facts=facts)
    _, _, text = str(caught.value).partition(f"\n- {test}: ")
    assert words in text.partition("\n- test_")[0]
