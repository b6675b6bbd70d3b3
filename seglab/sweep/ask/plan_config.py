"""Turns overrides and configuration into the plan of a study, or the jobs of a plain grid."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.config.declared.check import check
from seglab.config.declared.schema import STUDY
from seglab.config.language.domains import Choices, Domain, flatten_space, take
from seglab.config.language.grammar import write_scalar
from seglab.config.rules.named_objects import names_subclass
from seglab.config.rules.study_rules import SEARCH_RULES, SPACE, read_space
from seglab.config.rules.valid_view import InvalidValueError, ValidView
from seglab.config.study_overrides import clashes, has_study, nothing_searched, space_of
from seglab.config.validate import without_hydra
from seglab.core.errors import ConfigError
from seglab.runs.studies.study import Direction, StudyFolder, StudyObjective
from seglab.sweep.ask.plan import StudyPlan

_DIRECTIONS: dict[str, Direction] = {"max": "maximize", "min": "minimize"}
# Taken from the node as they are.
_PLAIN = (
    "seed",
    "conditional",
    "retries",
    "grace_s",
    "fail_fast",
    "max_failure_rate",
    "trial_timeout_s",
    "timeout_s",
    "confirm",
    "test",
)
_SHUFFLE_SEED = 0


def split_words(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words with one value, and those with several as key -> text.

    A `+` stays before the name of a group, which Hydra needs again in the words of a trial; keys of
    values come without signs.
    """
    fixed: list[str] = []
    swept: dict[str, str] = {}
    for word, override in zip(words, _parsed(words), strict=True):
        if override.is_sweep_override():
            swept[_searched_key(override)] = override.get_value_string()
        else:
            fixed.append(word)
    return fixed, swept


def grid(words: Sequence[str]) -> list[list[str]]:
    """Return the words of each job of a plain grid: the jobs of Hydra's own sweeper, in its order.

    `shuffle(...)` gives the same order every time, so that the same command means the same jobs.

    Raises:
        HydraException: A word is an interval, which has no values to try one by one.
    """
    state = random.getstate()
    random.seed(_SHUFFLE_SEED)
    try:
        return [list(job) for job in BasicSweeper.split_arguments(_parsed(words), None)[0]]
    finally:
        random.setstate(state)


def study_plan(
    cfg: DictConfig, swept: Mapping[str, str], folder: StudyFolder, fixed: Sequence[str] = ()
) -> StudyPlan:
    """Return what the `study` node of a configuration and the words of the command line ask for.

    Args:
        cfg: Composed configuration; may hold Hydra's node.
        swept: From `split_words`; joins the space of the node, and stands for it where both have a key.
        folder: Where the study is kept.
        fixed: From `split_words`; a key that is searched too is refused.

    Raises:
        ConfigError: With all that is wrong.
    """
    if not has_study(cfg):
        raise ConfigError("study: there is none; add study=default or another study")
    cfg = _with_space(cfg, swept)
    problems = [*_study_problems(cfg), *nothing_searched(cfg)]
    problems += clashes(list(space_of(cfg)), [one.key_or_group for one in _parsed(fixed)])
    if problems:
        raise ConfigError(problems)
    node: dict[str, Any] = OmegaConf.to_container(cfg.study, resolve=True)  # type: ignore[assignment]
    domains = read_space(node["space"])[0]
    sampler, n_trials = _sampler_and_budget(node, domains)
    return StudyPlan(
        name=node["name"],
        objectives=_objectives(node, cfg),
        n_trials=n_trials,
        sampler=sampler,
        storage=node["storage"] or f"journal:{folder.journal_path.absolute()}",
        pruner=node["pruner"],
        space={key: _settled(text, domains[key]) for key, text in flatten_space(node["space"])},
        enqueue=tuple(_held(settings, domains) for settings in node["enqueue"]),
        warm_start=tuple(str(Path(one).expanduser().absolute()) for one in node["warm_start"]),
        **{key: node[key] for key in _PLAIN},
    )


def _parsed(words: Sequence[str]) -> list[Override]:
    hydra = GlobalHydra.instance()
    loader: ConfigLoader | None = hydra.config_loader() if hydra.is_initialized() else None
    return OverridesParser.create(loader).parse_overrides(list(words))


def _searched_key(override: Override) -> str:
    key = override.get_key_element()
    # Only a group takes one `+`; values are forced where they need to be.
    is_value = "." in key and not set(key) & set("/@")
    return override.key_or_group if is_value else key.removeprefix("++")


def _with_space(cfg: DictConfig, swept: Mapping[str, str]) -> DictConfig:
    """Return a copy whose study searches the words too."""
    cfg = without_hydra(cfg)
    with open_dict(cfg):
        cfg.study.space = {**space_of(cfg), **swept}
    return cfg


def _study_problems(cfg: DictConfig) -> list[str]:
    found = check(cfg.study, STUDY, "study")
    value = ValidView(cfg, {problem.key for problem in found})
    for rule in SEARCH_RULES:
        try:
            found += list(rule(value))
        except InvalidValueError:
            continue
    # A key of the space is the one that was typed.
    return [str(problem).removeprefix(f"{SPACE}.") for problem in found]


def _objectives(node: Mapping[str, Any], cfg: DictConfig) -> tuple[StudyObjective, ...]:
    if node["objectives"] is not None:
        return tuple(StudyObjective(one["metric"], one["direction"]) for one in node["objectives"])
    metric = OmegaConf.select(cfg, "monitor.metric")
    direction = _DIRECTIONS.get(str(OmegaConf.select(cfg, "monitor.mode")))
    if not metric or direction is None:
        raise ConfigError(
            "study.objectives: expected [{metric: ..., direction: maximize}], got null, and there is no "
            "monitor.metric with monitor.mode=max or min"
        )
    return (StudyObjective(metric, direction),)


def _settled(text: str, domain: Domain) -> str:
    """Return the text of a domain; the choices of today instead of a `glob(...)`."""
    if isinstance(domain, Choices) and "glob(" in text:
        return f"choice({', '.join(write_scalar(value) for value in domain.values)})"
    return text


def _held(settings: Mapping[str, Any], domains: Mapping[str, Domain]) -> dict[str, Any]:
    """Return settings as Optuna holds them."""
    return {
        key: take(domains[key], value) if key in domains else value
        for key, value in flatten_space(settings)
    }


def _sampler_and_budget(
    node: Mapping[str, Any], domains: Mapping[str, Domain]
) -> tuple[dict[str, Any], int]:
    """Return the sampler, a grid's with its values, and the number of trials, a grid's at most all."""
    from optuna.samplers import BruteForceSampler, GridSampler

    sampler, n_trials = dict(node["sampler"]), node["n_trials"]
    is_grid = names_subclass(sampler, GridSampler)
    if is_grid:
        sampler["search_space"] = {key: list(domain.listed()) for key, domain in domains.items()}
    if is_grid or (names_subclass(sampler, BruteForceSampler) and node["conditional"] is None):
        size = math.prod(len(domain) for domain in domains.values())
        n_trials = min(size, n_trials or size)
    return sampler, n_trials
