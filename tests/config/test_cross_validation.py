"""Keys under `cv` belong to a scheme; one that the scheme would ignore is refused."""

from __future__ import annotations

import pytest

from seglab.config.compose import compose
from seglab.core.errors import ConfigError
from seglab.core.parts.components import components


@pytest.mark.parametrize("scheme", components("cv"))
def test_every_scheme_has_a_file_that_says_so(scheme: str) -> None:
    assert compose([f"cv={scheme}"]).cv.scheme == scheme


def test_folds_without_a_scheme_are_told_which_schemes_have_them() -> None:
    with pytest.raises(ConfigError, match=r"cv\.folds: no such key, got 3; it goes with cv=kfold,"):
        compose(["cv.folds=3"])


def test_key_of_another_scheme_is_told_whose_it_is() -> None:
    with pytest.raises(
        ConfigError, match=r"cv\.gap: no such key, got 5; it goes with cv=block, nested"
    ):
        compose(["cv=kfold", "cv.gap=5"])


def test_misspelt_key_gets_those_of_its_scheme() -> None:
    with pytest.raises(ConfigError, match=r"cv\.repaets: .*did you mean 'cv\.repeats'"):
        compose(["cv=kfold", "cv.repaets=5"])
