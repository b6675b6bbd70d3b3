"""The YAML files spell out what the functions take, no more and no less."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from seglab.optim import SCHEDULES, build_optimizer, build_scheduler

CONF = Path(__file__).resolve().parents[2] / "conf"


def read(group):
    return {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((CONF / group).glob("*.yaml"))
    }


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_scheduler_files_have_the_defaults_of_the_declaration(name):
    content = read("scheduler")[name]
    assert content.pop("_target_") == "seglab.optim.build_scheduler"
    assert content.pop("name") == name
    assert list(content) == list(SCHEDULES[name].model_fields)
    if name == "plateau":
        assert content.pop("mode") == "${monitor.mode}"
        content["mode"] = "max"
    assert content == SCHEDULES[name]().to_dict()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    build_scheduler(optimizer, name, 20, 5, **content)


@pytest.mark.parametrize("file", read("optimizer"))
def test_optimizer_files_build(file):
    content = read("optimizer")[file]
    assert content.pop("_target_") == "seglab.optim.build_optimizer"
    parameters = list(inspect.signature(build_optimizer).parameters)
    assert list(content) == parameters[1:]
    optimizer = build_optimizer(nn.Conv2d(3, 2, 1), **content)
    assert optimizer.param_groups[0]["lr"] == content["lr"]


def test_every_scheduler_file_is_of_a_declared_schedule():
    assert set(read("scheduler")) == set(SCHEDULES)
