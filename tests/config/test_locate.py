from __future__ import annotations

from pathlib import Path

import pytest

from seglab.config.language import locate
from seglab.config.language.locate import ENV_CONF, conf_dir
from seglab.core.errors import ConfigError


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.yaml").touch()
    return folder


def test_checkout_comes_before_the_copy_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENV_CONF, raising=False)
    monkeypatch.setattr(locate, "_PACKAGE", tmp_path / "seglab")
    inside = make(tmp_path / "seglab" / "conf")

    assert conf_dir() == inside
    beside = make(tmp_path / "conf")
    assert conf_dir() == beside


def test_environment_names_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_CONF, str(make(tmp_path / "mine")))
    assert conf_dir() == tmp_path / "mine"

    monkeypatch.setenv(ENV_CONF, str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"expected a train\.yaml in .*gone"):
        conf_dir()
