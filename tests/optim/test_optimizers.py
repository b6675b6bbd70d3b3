import logging

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from seglab.core.errors import ConfigError
from seglab.optim import build_optimizer


class SmallModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.decoder = nn.Conv2d(4, 4, 3, bias=False)
        self.head = nn.Conv2d(4, 2, 1)


class Positional(nn.Module):
    def __init__(self):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.weight = nn.Parameter(torch.zeros(4, 4))

    def no_weight_decay(self):
        return {"pos_embed"}


def by_name(optimizer):
    return {group["name"]: group for group in optimizer.param_groups}


def test_groups_split_encoder_and_spare_one_dimensional_parameters_from_decay():
    model = SmallModel()
    optimizer = build_optimizer(model, "adamw", lr=1e-2, encoder_lr=1e-3, weight_decay=0.05)
    groups = by_name(optimizer)
    facts = {
        name: (group["lr"], group["weight_decay"], len(group["params"]))
        for name, group in groups.items()
    }
    assert facts == {
        "encoder/decay": (1e-3, 0.05, 1),
        "encoder/no_decay": (1e-3, 0.0, 3),
        "rest/decay": (1e-2, 0.05, 2),
        "rest/no_decay": (1e-2, 0.0, 1),
    }
    assert groups["encoder/decay"]["params"][0] is model.encoder[0].weight
    assert isinstance(optimizer, torch.optim.AdamW)


def test_encoder_has_the_same_rate_unless_told():
    optimizer = build_optimizer(SmallModel(), "adam", lr=1e-2)
    assert {group["lr"] for group in optimizer.param_groups} == {1e-2}


def test_every_trainable_parameter_is_in_exactly_one_group():
    model = SmallModel()
    model.head.bias.requires_grad_(False)
    optimizer = build_optimizer(model, "sgd", lr=0.1)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert "rest/no_decay" not in by_name(optimizer)


def test_model_without_encoder():
    optimizer = build_optimizer(nn.Conv2d(3, 2, 1), "sgd", lr=0.1)
    assert set(by_name(optimizer)) == {"rest/decay", "rest/no_decay"}
    with pytest.raises(ConfigError, match="encoder_lr: the model has no encoder"):
        build_optimizer(nn.Conv2d(3, 2, 1), "sgd", lr=0.1, encoder_lr=0.01)


def test_position_embeddings_are_spared():
    model = SmallModel()
    model.encoder = nn.Sequential(Positional())
    groups = by_name(build_optimizer(model, "adamw", lr=1e-3, weight_decay=0.1))
    assert groups["encoder/no_decay"]["params"] == [model.encoder[0].pos_embed]
    assert groups["encoder/decay"]["params"] == [model.encoder[0].weight]


def test_frozen_encoder_leaves_no_group_and_says_its_rate_has_no_effect(caplog):
    model = SmallModel()
    model.encoder.requires_grad_(False)
    with caplog.at_level(logging.WARNING, "seglab"):
        optimizer = build_optimizer(model, "adamw", lr=1e-3, encoder_lr=1e-4)
    assert set(by_name(optimizer)) == {"rest/decay", "rest/no_decay"}
    assert "encoder_lr=0.0001 has no effect" in caplog.text
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        build_optimizer(model, "adamw", lr=1e-3)


def test_sgd_step_by_hand():
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 1.0)
    options = {"momentum": 0.0, "nesterov": False}
    optimizer = build_optimizer(layer, "sgd", lr=0.1, weight_decay=0.5, options=options)
    layer(torch.tensor([[3.0]])).sum().backward()
    optimizer.step()
    # Weight: 2 - 0.1 * (3 + 0.5 * 2); bias is not decayed: 1 - 0.1 * 1.
    assert layer.weight.item() == pytest.approx(1.6)
    assert layer.bias.item() == pytest.approx(0.9)


def test_options_reach_the_optimizer():
    options = OmegaConf.create({"betas": [0.8, 0.9], "eps": 1e-5})
    optimizer = build_optimizer(SmallModel(), "adamw", lr=1e-3, options=options)
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert optimizer.defaults["eps"] == 1e-5
    assert build_optimizer(SmallModel(), "sgd", lr=0.1).defaults["nesterov"] is True


def test_options_the_optimizer_would_ignore_are_refused():
    with pytest.raises(ConfigError, match=r"options\.betas: sgd takes no such argument"):
        build_optimizer(SmallModel(), "sgd", lr=0.1, options={"betas": [0.9, 0.99]})
    with pytest.raises(ConfigError, match=r"options\.beta: .* \(did you mean 'betas'\?\)"):
        build_optimizer(SmallModel(), "adamw", lr=0.1, options={"beta": 0.9})
    with pytest.raises(ConfigError, match=r"options\.lr: adamw takes no such argument"):
        build_optimizer(SmallModel(), "adamw", lr=0.1, options={"lr": 0.2})


def test_all_mistakes_come_in_one_message():
    with pytest.raises(ConfigError) as caught:
        build_optimizer(SmallModel(), "adamm", lr=0.0, encoder_lr=float("nan"), weight_decay=-1)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "no optimizer 'adamm' (did you mean 'adam" in text
    assert "optimizer.lr: expected a number (more than 0), got 0.0" in text
    assert "optimizer.encoder_lr: expected a number (more than 0) or null, got nan" in text
    assert "optimizer.weight_decay: expected a number (0 or more), got -1" in text


def test_values_the_optimizer_refuses_are_config_errors():
    with pytest.raises(ConfigError, match="adamw refuses its arguments: Invalid beta"):
        build_optimizer(SmallModel(), "adamw", lr=0.1, options={"betas": [2.0, 0.9]})


def test_second_order_optimizers_are_refused():
    with pytest.raises(ConfigError, match="'adahessian' needs second derivatives"):
        build_optimizer(SmallModel(), "adahessian", lr=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="these optimizers need CUDA")
def test_optimizers_of_missing_hardware_are_refused():
    with pytest.raises(ConfigError, match="'fusedadam' cannot be used on this machine"):
        build_optimizer(SmallModel(), "fusedadam", lr=0.1)


@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum", "adam", "lamb", "lion", "nadamw"])
def test_common_optimizers_lower_a_loss(name):
    torch.manual_seed(0)
    model = SmallModel()
    run = nn.Sequential(model.encoder, model.decoder, model.head)
    optimizer = build_optimizer(model, name, lr=1e-2)
    image = torch.randn(2, 3, 8, 8)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = run(image).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_step_is_fused_on_a_cpu_and_the_same_as_torchs_own() -> None:
    torch.manual_seed(0)
    weights = []
    for options in ({}, {"foreach": False}):
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        model.load_state_dict(
            {key: torch.full_like(value, 0.5) for key, value in model.state_dict().items()}
        )
        optimizer = build_optimizer(model, "adamw", lr=0.1, weight_decay=0.1, options=options)
        assert bool(optimizer.defaults.get("fused")) == (not options)
        for step in range(3):
            for number, parameter in enumerate(model.parameters()):
                parameter.grad = torch.full_like(parameter, 0.1 * (number + 1) * (step + 1))
            optimizer.step()
        weights.append([parameter.detach().clone() for parameter in model.parameters()])
    for fused, plain in zip(*weights, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
