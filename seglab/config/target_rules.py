"""What the targets of `objective` have to be, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator

from seglab.config.valid_view import Rule, ValidView, broken
from seglab.core.errors import ConfigError
from seglab.core.problems import Problem
from seglab.core.targets import parse_target


def _targets_can_be_read(value: ValidView) -> Iterator[Problem]:
    # Records written before there were objectives have none.
    for text in value("objective.targets", []):
        try:
            parse_target(text)
        except ConfigError as error:
            yield from (broken("objective.targets", problem) for problem in error.problems)


TARGET_RULES: tuple[Rule, ...] = (_targets_can_be_read,)
