"""Functions of the tests serve as a user's own: their packages are named, as a user has to name them."""

from __future__ import annotations

import pytest

from seglab.core.parts.plugins import ENV_PLUGINS


@pytest.fixture(autouse=True)
def _functions_of_the_tests_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PLUGINS, "tests,my_space,no_space")
