"""All that is wrong with a composed configuration, found before anything is built."""

from __future__ import annotations

from typing import Literal

from omegaconf import DictConfig, OmegaConf

from seglab.config.declared.check import check
from seglab.config.declared.schema import SCHEMA_OF, TOLD
from seglab.config.rules.rules import broken_rules
from seglab.core.errors import ConfigError
from seglab.core.problems import Problem

App = Literal["train", "evaluate"]


def find_problems(cfg: DictConfig, app: App = "train") -> list[Problem]:
    """Return every mistake: keys and types first, then values that do not go together.

    Rules are tried where the keys they read are sound, so one slip is not reported twice.
    """
    found = check(cfg, SCHEMA_OF[app], told=TOLD)
    wrong = {problem.key for problem in found}
    return found + [rule for rule in broken_rules(cfg, app, wrong) if rule.key not in wrong]


def validate(cfg: DictConfig, app: App = "train") -> list[str]:
    """Return every mistake in a configuration as one line each; an empty list when it is sound.

    Args:
        cfg: Composed configuration; a `hydra` node is not looked at.
        app: Which command it is for.
    """
    return [str(problem) for problem in find_problems(without_hydra(cfg), app)]


def require_valid(cfg: DictConfig, app: App = "train") -> None:
    """Raise unless the configuration is sound.

    Raises:
        ConfigError: With all mistakes found.
    """
    problems = validate(cfg, app)
    if problems:
        raise ConfigError(problems)


def without_hydra(cfg: DictConfig) -> DictConfig:
    """Return a copy without Hydra's own node; interpolations stay as written."""
    names = [str(key) for key in cfg if key != "hydra"]
    return OmegaConf.masked_copy(cfg, names)
