from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config.rules.resolvers import (
    experiment_of,
    model_name,
    new_run_id,
    per_share,
    register_resolvers,
)


def test_run_id_is_one_a_configuration_and_sorts_by_time() -> None:
    register_resolvers()
    one = OmegaConf.create({"a": "x/${run_id:}", "b": "${run_id:}"})
    other = OmegaConf.create({"a": "${run_id:}"})

    assert one.a == f"x/{one.b}"
    assert one.b == one.b
    assert one.b != other.a
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", new_run_id())


def test_model_name_is_architecture_or_class() -> None:
    assert model_name("seglab.models.build_smp", "unet") == "unet"
    assert model_name("seglab.models.SegNetBasic", None) == "segnet_basic"


def test_experiment_of_a_run_is_the_folder_around_it(tmp_path: Path) -> None:
    assert experiment_of(str(tmp_path / "demo" / "one")) == "demo"
    assert experiment_of(f"{tmp_path}/demo/one/") == "demo"


@pytest.mark.parametrize(
    ("share", "epochs"), [(1, 14), (0.5, 28), (0.125, 112), (0.3, 42), (0.9, 14)]
)
def test_smaller_share_has_more_epochs(share: float, epochs: int) -> None:
    assert per_share(14, share) == epochs
    assert per_share(14, share) % per_share(1, share) == 0


@pytest.mark.parametrize("share", [0, -1, 2])
def test_no_share_has_no_epochs(share: float) -> None:
    with pytest.raises(ValueError, match="expected a share of more than 0, up to 1"):
        per_share(14, share)
