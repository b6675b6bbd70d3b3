from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.inference import count_flops, measure_cost, measure_step


class Attention(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)
    )


def test_parameters_and_operations_by_hand() -> None:
    cost = measure_cost(_network(), (10, 12), repeats=1)
    # Weights and biases: 3*8*9 + 8, normalisation 2*8, 8*4 + 4.
    assert cost.params_m == pytest.approx((224 + 16 + 36) / 1e6, abs=0)
    # Two operations a multiply-add: (27 * 8 + 8 * 4) of them at each of 120 pixels.
    assert cost.gflops == pytest.approx(2 * 120 * (216 + 32) / 1e9, rel=1e-12)
    assert cost.latency_ms > 0
    assert math.isnan(cost.peak_memory_mb)


def test_operations_are_for_one_image() -> None:
    one, three = (measure_cost(_network(), (8, 8), batch=count, repeats=1) for count in (1, 3))
    assert one.gflops == pytest.approx(three.gflops)


@pytest.mark.parametrize(
    ("model", "shape", "flops"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 10, 12), 2 * 8 * 10 * 9 * 8),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 10, 12), 2 * 5 * 6 * 27 * 8),
        (nn.ConvTranspose2d(3, 8, 2, stride=2), (1, 3, 10, 12), 2 * 120 * 3 * 8 * 4),
        (nn.Linear(8, 4), (5, 8), 2 * 5 * 8 * 4),
        # Two products of 2 batches, 4 heads, 10 x 10 tokens, 8 channels.
        (Attention(), (2, 4, 10, 8), 2 * 2 * 2 * 4 * 10 * 10 * 8),
    ],
)
def test_operations_of_a_layer_by_hand(
    model: nn.Module, shape: tuple[int, ...], flops: int
) -> None:
    with torch.no_grad():
        assert count_flops(model, torch.randn(shape)) == flops


def test_shared_and_frozen_parameters_count_once() -> None:
    layer = nn.Conv2d(3, 3, 1)
    cost = measure_cost(nn.Sequential(layer, layer.requires_grad_(False)), (4, 4), repeats=1)
    assert cost.params_m == pytest.approx(12 / 1e6, abs=0)
    assert cost.gflops == pytest.approx(2 * 2 * 16 * 9 / 1e9)


def test_measuring_leaves_modes_and_statistics_as_they_were() -> None:
    model = _network().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_cost(model, (8, 8), repeats=2)
    assert [module.training for module in model] == [True, False, True, True]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_grey_images_and_half_precision() -> None:
    model = nn.Conv2d(1, 2, 3, padding=1).to(torch.bfloat16)
    assert measure_cost(model, (8, 8), in_channels=1, repeats=1).gflops == pytest.approx(
        2 * 64 * 9 * 2 / 1e9
    )


def test_latency_is_the_median_of_the_timed_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 12.0, 20.0, 29.0])
    monkeypatch.setattr("seglab.inference.cost.time.perf_counter", lambda: next(clock))
    assert measure_cost(_network(), (8, 8), repeats=3).latency_ms == pytest.approx(2000.0)


def test_step_trains_a_copy_forward_and_backward() -> None:
    model = _network().eval()
    model.append(nn.Dropout())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    masks = []

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        assert logits.requires_grad
        assert logits.dtype == torch.float32
        masks.append(mask)
        return nn.functional.cross_entropy(logits, mask)

    state = torch.get_rng_state()
    seconds = measure_step(model, (8, 6), 2, loss, repeats=3, autocast=torch.bfloat16)
    assert seconds > 0
    assert len(masks) == 5
    assert masks[0].shape == (2, 8, 6)
    assert set(masks[0].unique().tolist()) <= set(range(4))
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="H of at least 1, got 0") as caught:
        measure_cost(_network(), (0, 8), batch=0)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match="none that is trainable"):
        measure_step(_network().requires_grad_(False), (8, 8), 2)
