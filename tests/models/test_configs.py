"""The YAML files spell out what the functions take, and build."""

import inspect
from pathlib import Path

import pytest
import torch
import yaml

from seglab import models
from seglab.core.architectures import ARCHITECTURES, SMP_ARCHITECTURES

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"


def read(arch):
    return yaml.safe_load((CONF / f"{arch}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
def test_file_names_every_parameter_and_builds(arch):
    content = read(arch)
    package, _, name = content.pop("_target_").rpartition(".")
    target = getattr(models, name)
    assert package == "seglab.models"
    assert set(content) == set(inspect.signature(target).parameters) - {"num_classes"}
    # Null there: as many channels as the data has, which the training knows.
    assert content.pop("in_channels") is None
    model = target(num_classes=2, in_channels=3, **content).eval()
    assert model.arch == arch
    side = max(model.min_size, model.size_divisor)
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, side, side)).shape == (1, 2, side, side)


@pytest.mark.parametrize("arch", SMP_ARCHITECTURES)
def test_depth_in_the_file_is_the_default(arch):
    assert read(arch)["arch"] == arch
    assert read(arch)["encoder_depth"] == ARCHITECTURES[arch].default_depth
