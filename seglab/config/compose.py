"""Composing a checked configuration, as a command would use it."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from seglab.config.overrides import check_overrides
from seglab.config.validate import App
from seglab.core.errors import ConfigError


def compose(
    overrides: Sequence[str] = (), app: App = "train", *, allow_missing: bool = False
) -> DictConfig:
    """Return a checked configuration, as `seglab train` would use it.

    Args:
        overrides: What would stand on the command line, such as `model=segnet` or `seed=1`.
        app: Which command it is for.
        allow_missing: Whether values may be missing that have no default.

    Raises:
        ConfigError: With all mistakes found.
    """
    checked = check_overrides(app, overrides, allow_missing=allow_missing)
    if checked.problems or checked.config is None:
        raise ConfigError(checked.problems)
    return checked.config
