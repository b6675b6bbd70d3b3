from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError, ShapeError
from seglab.inference import Ensemble, TestTimeAugmentation, WholeImage, argmax_mask


def _fixed(*logits: float) -> WholeImage:
    """A predictor that says the same everywhere."""

    class Model(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            values = torch.tensor(logits).reshape(1, -1, 1, 1)
            return values.expand(len(image), -1, *image.shape[2:])

    return WholeImage(Model())


def test_probabilities_are_averaged_not_logits() -> None:
    # Softmax (1/2, 1/2) and (9/10, 1/10); mean (0.7, 0.3).
    unsure, sure = _fixed(9.0, 9.0), _fixed(math.log(9.0), 0.0)
    predicted = Ensemble([unsure, sure])(torch.zeros(2, 3, 5, 7))
    assert predicted.shape == (2, 2, 5, 7)
    torch.testing.assert_close(predicted.exp()[0, :, 0, 0], torch.tensor([0.7, 0.3]))
    # Log-probabilities are logits: softmax leaves them as they are.
    torch.testing.assert_close(predicted.softmax(1), predicted.exp())


def test_two_sure_members_outvote_one_with_huge_logits() -> None:
    members = [_fixed(0.0, 3.0), _fixed(0.0, 3.0), _fixed(100.0, 0.0)]
    assert argmax_mask(Ensemble(members)(torch.zeros(1, 3, 2, 2))).unique().tolist() == [1]


def test_ensemble_of_one_is_its_log_softmax_at_the_masks_size() -> None:
    torch.manual_seed(0)
    member = WholeImage(nn.Conv2d(3, 4, kernel_size=3, padding=1), size_divisor=4)
    image = torch.randn(1, 3, 9, 7)
    expected = member(image, (18, 15)).log_softmax(1)
    assert torch.equal(Ensemble([member])(image, (18, 15)), expected)


def test_ensemble_takes_any_predictor() -> None:
    member = _fixed(1.0, 2.0, 3.0)
    nested = Ensemble([Ensemble([member]), TestTimeAugmentation(member)])
    predicted = nested(torch.zeros(1, 3, 6, 6))
    torch.testing.assert_close(predicted, member(torch.zeros(1, 3, 6, 6)).log_softmax(1))


def test_members_with_other_classes_and_no_members_are_refused() -> None:
    with pytest.raises(ShapeError, match="same classes"):
        Ensemble([_fixed(0.0, 1.0), _fixed(0.0, 1.0, 2.0)])(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ConfigError, match="at least one predictor"):
        Ensemble([])
