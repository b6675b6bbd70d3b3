"""What a study has to be: a space that can be read, and a sampler that can search it.

The search library is imported only when a study was chosen, so it is imported behind the first key
of the study that a rule reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seglab.config.language.domains import (
    EXAMPLES,
    Domain,
    flatten_space,
    group_options,
    listed_size,
    read_domain,
    take,
)
from seglab.config.rules.named_objects import call_problems, class_problems, names_subclass
from seglab.config.rules.valid_view import InvalidValueError, Rule, ValidView
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show

_NAME = re.compile(r"[\w][\w.+-]*")
_STORAGE = re.compile(r"journal:.+|\w+(\+\w+)?://.+")
_LARGEST_GRID = 100_000
SPACE = "study.space"
# What a study may not vary: what all its trials are compared by, and where they are kept.
_SETTLED = {
    "study": "the settings of the study hold for all its trials",
    "hydra": "the settings of Hydra hold for all trials",
    "monitor": "all trials are compared by one score",
    "paths": "all trials are kept in one place",
    "experiment_name": "all trials belong to one experiment",
    "resume": "a trial is a new run",
}


def read_space(space: Mapping[Any, Any]) -> tuple[dict[str, Domain], list[Problem]]:
    """Return the domains of a space by key, and what is wrong with the others.

    Args:
        space: Key -> text, also nested.
    """
    domains: dict[str, Domain] = {}
    problems = []
    for key, text in flatten_space(space):
        settled = _SETTLED.get(re.split(r"[./]", key)[0])
        domain, found = read_domain(key, text, group_options)
        if settled:
            found = [f"cannot be searched: {settled}"]
        if key in domains:
            found = ["given twice"]
        if domain is not None and not found:
            domains[key] = domain
        problems += [Problem(f"{SPACE}.{key}", text) for text in found]
    return domains, problems


def study_name_problem(name: str) -> str:
    """Return what is wrong with the name of a study, which names its folder; empty if nothing is."""
    if _NAME.fullmatch(name):
        return ""
    return f"expected letters, digits, '.', '_', '+' or '-' (it names a folder), got {show(name)}"


def _grid_has_no_name(value: ValidView) -> Iterator[Problem]:
    node = value("study")
    if "sampler" not in node and node.get("name") is not None:
        yield Problem(
            "study.name", f"there is no study to name; add study=default, got {show(node['name'])}"
        )


def _study_name_is_folder(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    problem = study_name_problem(value("study.name"))
    if problem:
        yield Problem("study.name", problem)


def _space(value: ValidView) -> Mapping[str, Any]:
    space = value(SPACE)
    if not isinstance(space, Mapping):
        raise InvalidValueError  # reported by the rule below
    return space


def _space_can_be_read(value: ValidView) -> Iterator[Problem]:
    space = value(SPACE)
    if not isinstance(space, Mapping):
        yield Problem(SPACE, f"expected keys with texts such as {EXAMPLES}, got {show(space)}")
        return
    yield from read_space(space)[1]


def _sampler_can_be_built(value: ValidView) -> Iterator[Problem]:
    node = value("study.sampler")
    from optuna.samplers import GridSampler

    supplied = ("search_space",) if names_subclass(node, GridSampler) else ()
    yield from class_problems("study.sampler", node, "sampler", supplied)


def _pruner_can_be_built(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    node = value("study.pruner", None)
    if node is not None:
        yield from class_problems("study.pruner", node, "pruner")


def _conditional_can_be_called(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    node = value("study.conditional", None)
    if node is not None:
        yield from call_problems("study.conditional", node, given=2)


def _objectives_differ(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    objectives = value("study.objectives", None)
    if objectives is None:
        return
    if not objectives:
        yield Problem("study.objectives", "expected at least one, or null for the monitored score")
    metrics = [one["metric"] for one in objectives]
    for index, metric in enumerate(metrics):
        if metric in metrics[:index]:
            yield Problem(f"study.objectives[{index}].metric", f"{show(metric)} stands twice")


def _several_objectives(value: ValidView) -> Iterator[Problem]:
    sampler = value("study.sampler")
    if len(value("study.objectives", None) or ()) < 2:
        return
    from optuna.samplers import CmaEsSampler

    if value("study.pruner", None) is not None:
        yield Problem(
            "study.pruner",
            "trials with several objectives cannot be pruned, as none of them is worse in everything; "
            "set study.pruner=null, or leave one objective",
        )
    if names_subclass(sampler, CmaEsSampler):
        yield Problem("study.sampler", "CMA-ES has one objective; for several use NSGAIISampler")


def _grid_is_countable(value: ValidView) -> Iterator[Problem]:
    sampler = value("study.sampler")
    from optuna.samplers import BruteForceSampler, GridSampler

    if not names_subclass(sampler, GridSampler, BruteForceSampler):
        if value("study.n_trials", None) is None:
            yield Problem(
                "study.n_trials",
                "expected a whole number (1 or more), got null; all combinations are tried by "
                "optuna.samplers.GridSampler",
            )
        return
    if value("study.n_trials", None) is None and value("study.conditional", None) is not None:
        yield Problem(
            "study.n_trials",
            "expected a whole number (1 or more), got null; how many "
            "combinations study.conditional adds is not known beforehand",
        )
    domains = read_space(_space(value))[0]
    name = sampler["_target_"].rpartition(".")[2]
    sizes = {key: listed_size(domain) for key, domain in domains.items()}
    for key, size in sizes.items():
        if size is None:
            yield Problem(
                f"{SPACE}.{key}",
                f"{name} tries value by value; give choice(...) or range(...) instead of an interval",
            )
    product = 1
    for size in sizes.values():
        product *= size or 1
    if product > _LARGEST_GRID:
        yield Problem(
            SPACE, f"expected a grid of {_LARGEST_GRID} combinations or less, got {product}"
        )


def _grid_is_known_beforehand(value: ValidView) -> Iterator[Problem]:
    sampler = value("study.sampler")
    from optuna.samplers import GridSampler

    if not names_subclass(sampler, GridSampler):
        return
    if value("study.conditional", None) is not None:
        yield Problem(
            "study.conditional",
            "GridSampler knows all settings beforehand; use optuna.samplers.BruteForceSampler",
        )
    if value("study.enqueue"):
        yield Problem("study.enqueue", "a grid tries all combinations; remove what is to be first")


def _enqueued_is_in_space(value: ValidView) -> Iterator[Problem]:
    domains, problems = read_space(_space(value))
    wrong = {problem.key.removeprefix(f"{SPACE}.") for problem in problems}
    further = value("study.conditional", None) is not None
    for index, settings in enumerate(value("study.enqueue")):
        if not isinstance(settings, Mapping):
            yield Problem(
                f"study.enqueue[{index}]",
                f"expected settings such as {{optimizer.lr: 0.001}}, got {show(settings)}",
            )
            continue
        for key, one in flatten_space(settings):
            where = f"study.enqueue[{index}].{key}"
            if key in domains:
                try:
                    take(domains[key], one)
                except ValueError as error:
                    yield Problem(where, str(error))
            elif key not in wrong and not further:
                meant = did_you_mean(nearest_keys(key, list(domains)))
                yield Problem(where, f"it is not searched{meant}; add it to study.space")


def _warm_start_is_a_study(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    for index, path in enumerate(value("study.warm_start")):
        if not (Path(path).expanduser() / "study.json").is_file():
            yield Problem(
                f"study.warm_start[{index}]",
                f"expected the folder of a study (it holds a study.json), got {show(path)}",
            )


def _storage_is_known(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    storage = value("study.storage", None)
    if storage is not None and not _STORAGE.fullmatch(storage):
        yield Problem(
            "study.storage",
            "expected journal:PATH, a URL such as postgresql+psycopg://USER@HOST/NAME, or null for a "
            f"file in the study's folder; got {show(storage)}",
        )


SEARCH_RULES: tuple[Rule, ...] = (
    _grid_has_no_name,
    _study_name_is_folder,
    _space_can_be_read,
    _sampler_can_be_built,
    _pruner_can_be_built,
    _conditional_can_be_called,
    _objectives_differ,
    _several_objectives,
    _grid_is_countable,
    _grid_is_known_beforehand,
    _enqueued_is_in_space,
    _warm_start_is_a_study,
    _storage_is_known,
)
