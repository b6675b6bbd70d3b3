"""What a study searches: the space in its file, and the overrides of the command line with several values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.config.language.domains import EXAMPLES, flatten_space, read_domain
from seglab.config.language.grammar import write_scalar
from seglab.config.language.override import Override, OverrideReader
from seglab.config.rules.study_rules import SPACE


def has_study(cfg: DictConfig) -> bool:
    """Whether a configuration searches, rather than runs one training or a plain grid."""
    return OmegaConf.is_dict(OmegaConf.select(cfg, "study.sampler", throw_on_missing=False))


def space_of(cfg: DictConfig) -> dict[str, Any]:
    """Return the keys of a study's space with their texts; empty without a study."""
    space = OmegaConf.select(cfg, SPACE) if has_study(cfg) else None
    plain = OmegaConf.to_container(space) if OmegaConf.is_dict(space) else {}
    return dict(flatten_space(plain))  # type: ignore[arg-type]


def overrides_of_space(
    cfg: DictConfig, typed: Sequence[Override], reader: OverrideReader, options: Any
) -> list[Override]:
    """Return a study's space as overrides, without the keys that are typed and the texts that are wrong.

    Their alternatives are what is worth a try beforehand: each choice, both ends of numbers.
    """
    given = {override.key for override in typed}
    overrides = []
    for key, text in space_of(cfg).items():
        domain = read_domain(key, text, options)[0] if key not in given else None
        if domain is not None:
            read, _ = reader.read([f"{key}={text}"], multirun=True)
            for override in read:
                override.alternatives = [write_scalar(value) for value in domain.ends()]
            overrides += read
    return overrides


def search_too(cfg: DictConfig, overrides: Sequence[Override]) -> None:
    """Put the typed overrides with several values into the space of a configuration with a study."""
    if not (has_study(cfg) and OmegaConf.is_dict(OmegaConf.select(cfg, SPACE))):
        return
    with open_dict(cfg):
        for override in overrides:
            if override.sweeps and not (override.of_study or override.where):
                cfg.study.space[override.key] = override.text.partition("=")[2]


def clashes(space: Collection[str], fixed: Collection[str]) -> Iterator[str]:
    """Yield keys that are searched and fixed at once."""
    for key in fixed:
        if key in space:
            yield (
                f"{key}: the study searches it, so it cannot be fixed; leave the override out, or begin "
                "with study=default and name all that is searched on the command line"
            )


def nothing_searched(cfg: DictConfig) -> Iterator[str]:
    """Yield that a study searches nothing; its trials would all be the same."""
    if not space_of(cfg) and OmegaConf.select(cfg, "study.conditional") is None:
        yield (
            f"{SPACE}: nothing is searched; give some keys values such as {EXAMPLES}, here or on the "
            "command line"
        )


def override_problems(
    cfg: DictConfig, overrides: Sequence[Override], multirun: bool, only_shown: bool
) -> Iterator[str]:
    """Yield what is wrong with overrides beside a study, or without one.

    Args:
        cfg: Composed of the overrides.
        overrides: As typed.
        multirun: Whether -m was given.
        only_shown: Whether nothing will be run.
    """
    for override in overrides:
        if override.sweeps and override.of_study:
            searched = override.text.lstrip("+").removeprefix(f"{SPACE}.")
            own = searched != override.text.lstrip("+")
            instead = f"to search it give {searched}" if own else "give one value"
            yield f"{override.key}: holds for all trials; {instead}, got {override.text}"
    if not has_study(cfg):
        for override in overrides:
            if multirun and override.parsed.is_interval_sweep() and not override.for_hydra:
                yield (
                    f"{override.key}: an interval has no values to try one by one; add study=default to "
                    f"search it, or give values such as {override.key}={','.join(override.alternatives)}"
                )
        return
    if multirun and not any(override.sweeps for override in overrides):
        yield from nothing_searched(cfg)
    if not (multirun or only_shown):
        yield (
            "study: a search runs many trainings and needs --multirun (-m); give -m, or study=none for "
            f"one training, got study.name={cfg.study.get('name')}"
        )
    fixed = [
        override.key
        for override in overrides
        if not (override.sweeps or override.deletes or override.for_hydra)
    ]
    yield from clashes(space_of(cfg), fixed)
