"""What the tests of the configuration share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from seglab.config.compose import compose
from seglab.config.overrides import check_overrides
from seglab.config.validate import validate

Problems = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _machine_without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SEGLAB_DATA", "SEGLAB_CACHE", "SEGLAB_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def problems() -> Problems:
    """Return what is wrong with words after `seglab train` (or another app)."""

    def check(*words: str, app: str = "train", **settings: object) -> list[str]:
        return check_overrides(app, words, **settings).problems  # type: ignore[arg-type]

    return check


@pytest.fixture(scope="session")
def default_config() -> DictConfig:
    """The training configuration as it is without any words; copy it before a change."""
    return compose()


@pytest.fixture
def problems_with(default_config: DictConfig) -> Callable[[dict[str, object]], list[str]]:
    """Return what is wrong with the default configuration after changes of single keys."""

    def check(changes: dict[str, object]) -> list[str]:
        cfg = copy.deepcopy(default_config)
        for key, value in changes.items():
            OmegaConf.update(cfg, key, value, merge=False, force_add=True)
        return validate(cfg)

    return check
