"""The search space of a study: Hydra's grammar on one side, Optuna's distributions on the other.

The names of parameters in Optuna are the keys of the configuration. What Optuna cannot hold (lists,
mappings, text that reads as a number) is held as its text in Hydra's grammar, so a word of a trial is
always `key=` and what is held, and a float comes back with every digit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from seglab.config.language.domains import Choices, Domain, listed_size
from seglab.config.language.grammar import read_scalar, write_scalar, write_value
from seglab.config.rules.study_rules import SPACE, read_space
from seglab.config.study_overrides import clashes
from seglab.core.errors import ConfigError
from seglab.core.parts.nodes import arguments
from seglab.core.parts.plugins import TARGET, load_target
from seglab.core.problems import show
from seglab.sweep.ask.plan import StudyPlan


def parse_space(
    space: Mapping[str, str], fixed: Collection[str] = ()
) -> dict[str, BaseDistribution]:
    """Return the distribution of each key of a space.

    As in Hydra the stop of `range(start, stop, step)` is left out, and both ends of `interval` belong
    to it.

    Args:
        space: Key or group -> text in Hydra's grammar, such as `tag(log, interval(1e-4, 1e-1))`.
        fixed: Keys that are given a value for all trials.

    Raises:
        ConfigError: With all that is wrong.
    """
    domains, problems = read_space(space)
    lines = [str(problem) for problem in problems] + list(clashes(list(space), fixed))
    if lines:
        raise ConfigError(lines)
    return {key: distribution_of(domain) for key, domain in domains.items()}


def distribution_of(domain: Domain) -> BaseDistribution:
    """Return a domain as Optuna knows it."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.values)
    low, high, step = domain.low, domain.high, domain.step
    if domain.whole:
        return IntDistribution(int(low), int(high), log=domain.log, step=int(step or 1))
    return FloatDistribution(low, high, log=domain.log, step=step)


def settings_in(plan: StudyPlan) -> int | None:
    """Return how many settings a study can try; None where that has no end, or is not known beforehand."""
    if not plan.space or plan.conditional is not None:
        return None
    sizes = [listed_size(domain) for domain in read_space(plan.space)[0].values()]
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def suggest(
    trial: optuna.Trial,
    distributions: Mapping[str, BaseDistribution],
    conditional: Mapping[str, Any] | None = None,
) -> list[str]:
    """Ask a trial for values and return them as words for Hydra.

    A conditional space is a function of the user's, `_target_: module.function`, found from the
    current folder too. It is called with the trial and what was chosen so far (key -> value, lists as
    lists) and returns further settings, key -> value; it may ask the trial for more:

        def deeper(trial, chosen):
            if chosen["model"] != "unet":
                return {}
            return {"model.encoder_depth": trial.suggest_int("model.encoder_depth", 3, 5)}

    Args:
        trial: Of a study; what it suggested is stored with it.
        distributions: From `parse_space`.
        conditional: The function, and further arguments for it by name.

    Returns:
        One word a key. Dotted keys are forced (`++key=value`), because another choice of a group may
        not have the key in its file.

    Raises:
        ConfigError: The function is not there, fails, or returns something else.
    """
    # As `Study.ask` does with its `fixed_distributions`.
    held = {key: trial._suggest(key, distribution) for key, distribution in distributions.items()}
    words = [f"{_sign(key)}{key}={write_scalar(value)}" for key, value in held.items()]
    if conditional is None:
        return words
    chosen = {key.lstrip("+"): read_scalar(value) for key, value in held.items()}
    return words + list(_further_words(trial, chosen, conditional))


def _further_words(
    trial: optuna.Trial, chosen: Mapping[str, Any], conditional: Mapping[str, Any]
) -> Iterable[str]:
    name = conditional.get(TARGET)
    function = load_target(name, "conditional")
    try:
        settings = function(trial, dict(chosen), **arguments(conditional))
    except optuna.TrialPruned:
        raise
    except Exception as error:
        raise ConfigError(
            f"study.conditional: {name} failed for trial {trial.number}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"study.conditional: expected {name} to return settings, key -> value ({{}} for none), "
            f"got {show(settings)}"
        )
    problems: list[str] = []
    words = []
    for key, value in settings.items():
        try:
            words.append(_further_word(key, value, chosen))
        except ConfigError as error:
            problems += [
                f"study.conditional: {name} returned {show(key)}: {one}" for one in error.problems
            ]
    if problems:
        raise ConfigError(problems)
    return words


def _further_word(key: Any, value: Any, chosen: Mapping[str, Any]) -> str:
    if not isinstance(key, str) or not key or set(key) & set("=~ "):
        raise ConfigError("expected a key such as optimizer.lr")
    if key.lstrip("+") in chosen:
        raise ConfigError(f"the study searches it ({SPACE}); return other keys only")
    return f"{_sign(key)}{key}={write_value(value)}"


def _sign(key: str) -> str:
    """Return `++` for a value inside a group: Hydra refuses it for groups and needs none for the rest."""
    is_value = "." in key and not set(key) & set("/@+")
    return "++" if is_value else ""
