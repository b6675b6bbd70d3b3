from __future__ import annotations

import pytest
import torch
from torch import nn

from seglab.core.errors import ConfigError, ShapeError
from seglab.inference import MeanProbability, WholeImage, predict_logits


def test_whole_image_is_predict_logits() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, kernel_size=3, padding=1)
    image = torch.randn(2, 3, 13, 21)
    predicted = WholeImage(model, size_divisor=8, min_size=16)(image, (26, 40))
    assert torch.equal(predicted, predict_logits(model, image, (26, 40), 8, 16))
    assert not predicted.requires_grad
    assert WholeImage(model)(image).shape == (2, 4, 13, 21)


def test_whole_image_refuses_sizes_below_one_together() -> None:
    with pytest.raises(ConfigError, match="size_divisor of at least 1, got 0") as caught:
        WholeImage(nn.Identity(), size_divisor=0, min_size=-1)
    assert len(caught.value.problems) == 2


def test_mean_of_two_predictions_by_hand() -> None:
    mean = MeanProbability()
    # Probabilities (3/4, 1/4) and (1/4, 3/4) shifted by a constant, which softmax does not see.
    mean.add(torch.tensor([3.0, 1.0]).log().reshape(1, 2, 1, 1))
    mean.add(torch.tensor([1.0, 3.0]).log().reshape(1, 2, 1, 1) + 7.0)
    torch.testing.assert_close(mean.log_mean().exp().flatten(), torch.tensor([0.5, 0.5]))


def test_mean_keeps_what_float32_probabilities_lose() -> None:
    mean = MeanProbability()
    for _ in range(3):
        mean.add(torch.tensor([0.0, -500.0]).reshape(1, 2, 1, 1))
    torch.testing.assert_close(mean.log_mean().flatten(), torch.tensor([0.0, -500.0]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mean_of_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 3, 4).to(dtype)
    mean = MeanProbability()
    mean.add(logits)
    assert mean.log_mean().dtype == torch.float32
    assert torch.equal(mean.log_mean(), logits.float().log_softmax(1))


def test_mean_refuses_other_shapes_and_nothing() -> None:
    mean = MeanProbability()
    with pytest.raises(ShapeError, match="at least one prediction"):
        mean.log_mean()
    mean.add(torch.zeros(1, 2, 3, 3))
    with pytest.raises(ShapeError, match=r"\(1, 2, 3, 3\) as before, got \(1, 3, 3, 3\)"):
        mean.add(torch.zeros(1, 3, 3, 3))
