"""Reading a configuration that may have mistakes: only values with nothing wrong are given out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.core.problems import Problem


class InvalidValueError(Exception):
    """A rule reads a key that is wrong already."""


class ValidView:
    """Reads values by full key as long as nothing is wrong with them."""

    def __init__(self, cfg: DictConfig, wrong: Collection[str]) -> None:
        self._cfg = cfg
        self._wrong = wrong

    def __call__(self, key: str, default: Any = InvalidValueError) -> Any:
        """Return the resolved value at `key` as plain content.

        Raises:
            InvalidValueError: It is missing (and no default was given) or wrong; ends the rule.
        """
        if any(bad == key or bad.startswith((f"{key}.", f"{key}[")) for bad in self._wrong):
            raise InvalidValueError
        try:
            value = OmegaConf.select(self._cfg, key, throw_on_missing=True)
            # Resolved on the node itself: a copy would lose the root that interpolations refer to.
            value = (
                OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            )
        except OmegaConfBaseException as error:
            raise InvalidValueError from error
        if value is None and default is not InvalidValueError:
            return default
        if (
            value is None
            and OmegaConf.select(self._cfg, key, default=InvalidValueError) is not None
        ):
            raise InvalidValueError
        return value


Rule = Callable[[ValidView], Iterator[Problem]]


def broken(key: str, text: str) -> Problem:
    """Return the problem of values that do not go together, at the key to change."""
    return Problem(key, text, "rule")
