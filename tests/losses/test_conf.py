"""Every file of conf/loss builds what its keys say, and leaves no option of a loss unsaid."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from seglab.losses import WeightedSum

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "loss"
FILES = sorted(FOLDER.glob("*.yaml"))
GIVEN_BY_THE_RUN = {"ignore_index"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_builds_a_loss(path: Path) -> None:
    cfg = OmegaConf.load(path)
    loss = instantiate(cfg, ignore_index=9, class_weights=[1.0, 2.0, 3.0])
    assert isinstance(loss, WeightedSum)
    assert loss.weights == dict(cfg.weights)
    assert all(term.ignore_index == 9 for term in loss.terms.values())
    assert all(term.class_weights.tolist() == [1, 2, 3] for term in loss.terms.values())
    mask = torch.tensor([[[0, 1, 9], [2, 2, 0]]])
    assert bool(loss(torch.randn(1, 3, 2, 3), mask).isfinite())
    # As written, without anything given.
    assert isinstance(instantiate(cfg), WeightedSum)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_options_are_those_of_the_constructor_at_their_defaults(path: Path) -> None:
    for term in OmegaConf.load(path).terms.values():
        parameters = inspect.signature(get_class(term.pop("_target_"))).parameters
        defaults = {name: p.default for name, p in parameters.items()}
        assert dict(term) == {k: v for k, v in defaults.items() if k not in GIVEN_BY_THE_RUN}
