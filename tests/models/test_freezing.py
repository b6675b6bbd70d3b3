import torch
from torch import nn

from seglab.models import find_unused, freeze


def small_net():
    return nn.ModuleDict(
        {"used": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "unused": nn.Linear(2, 2)}
    )


def test_unused_parameters_are_those_without_a_path_to_the_output():
    net = small_net()
    output = net["used"](torch.ones(3, 2))
    assert set(find_unused(net, output)) == {"unused.weight", "unused.bias"}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_detached_branch_counts_as_unused():
    net = small_net()
    output = net["used"](torch.ones(3, 2)) + net["unused"](torch.ones(3, 2)).detach()
    assert set(find_unused(net, output)) == {"unused.weight", "unused.bias"}


def test_frozen_parameters_are_not_called_unused():
    net = small_net()
    freeze(net["unused"])
    assert find_unused(net, net["used"](torch.ones(3, 2))) == {}


def test_frozen_is_without_gradient_and_in_eval_mode():
    net = small_net()
    freeze(net)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not net["used"][1].training
