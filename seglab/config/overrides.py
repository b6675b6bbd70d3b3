"""Checks a command line before Hydra composes it, and reports all mistakes at once.

Hydra stops at the first mistake, hides the reason of some, and lets `+misspelt=1` through. Here
each override is tried on its own: a choice against the files there are, a value on a tree that takes
any key, and what comes out against the schema. Hydra then gets overrides that it accepts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.config.composer import Composer, choices_in, open_composer
from seglab.config.declared.schema import SCHEMA_OF
from seglab.config.group_choices import FILES_WITH_CHOICES, GroupChoices, short
from seglab.config.language import sources
from seglab.config.language.bare_words import meant_by
from seglab.config.language.locate import conf_dir, own_folders
from seglab.config.language.override import Override, OverrideReader, first_of
from seglab.config.language.trees import delete_key, has_key, is_related
from seglab.config.own_parts import name_own_parts, overrides_that_leave_behind
from seglab.config.rules.study_rules import SPACE
from seglab.config.study_overrides import override_problems, overrides_of_space, search_too
from seglab.config.typed_text import name_overrides
from seglab.config.validate import App, find_problems, without_hydra
from seglab.core.problems import Problem, show


@dataclass(frozen=True)
class CheckedOverrides:
    """What came of a check.

    Attributes:
        overrides: What Hydra gets: `+` and `++` put right where the key is a known one.
        problems: Every mistake, one line each.
        config: What they compose to, in a multirun with the first alternatives; None where they
            compose to nothing.
        hydra: Its `hydra` node, with what was typed for Hydra itself.
    """

    overrides: list[str]
    problems: list[str]
    config: DictConfig | None
    hydra: DictConfig | None


def check_overrides(
    app: App,
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    allow_missing: bool = False,
    config_name: str | None = None,
    folder: Path | None = None,
    search: Sequence[Path] = (),
) -> CheckedOverrides:
    """Check what a user typed after `seglab train` or `seglab evaluate`.

    In a multirun each alternative of an override is tried once, with the first one of all others.

    Args:
        app: The command.
        overrides: Texts such as `model=segnet`, `optimizer.lr=0.01`, `+x=1`, `~y`.
        multirun: Whether several values are allowed.
        allow_missing: Do not report values that are still to be given.
        config_name: Primary configuration; `app` by default.
        folder: Configuration folder; `conf_dir()` by default.
        search: Further folders with groups.
    """
    name = config_name or app
    with open_composer(name, folder, search) as composer:
        check = _Check(app, composer, [folder or conf_dir(), *own_folders(), *search])
        typed, unread = check.reader.read(overrides, multirun)
        check.problems += unread
        check.groups.check(typed)
        searched = check.values(typed, allow_missing, multirun)
        for_hydra = check.for_hydra(typed, searched)
        return CheckedOverrides(for_hydra, check.lines(), check.config, check.hydra)


class _Check:
    """One check; collects the problems."""

    def __init__(self, app: App, composer: Composer, folders: list[Path]) -> None:
        self.app = app
        self.composer = composer
        self.folders = folders
        self.reader = OverrideReader(composer.loader(), composer.is_group, self.meant)
        self.problems: list[str] = []
        self.groups = GroupChoices(app, composer, folders, self.problems)
        self.base: DictConfig | None = None
        self.config: DictConfig | None = None
        self.hydra: DictConfig | None = None

    def lines(self) -> list[str]:
        """Return the problems, each once, in the order found."""
        return list(dict.fromkeys(self.problems))

    def meant(self, word: str) -> str:
        """Return what a word without `=` may stand for, to be typed instead; empty where nothing is near."""
        groups = [group for group in sorted(self.groups.default_groups) if "/" not in group]
        found = {group: self.composer.options(group) for group in groups}
        return meant_by(word, self.app, found)

    def values(self, typed: list[Override], allow_missing: bool, multirun: bool) -> list[Override]:
        """Compose with the first alternatives, check; then with each other alternative in turn.

        Returns:
            What the study in the configuration searches beside the overrides typed.
        """
        self.base = self.compose(typed, first_of(typed))
        if self.base is None:
            return []
        self.leave_behind(typed, self.base)
        self.names_as_typed(typed, self.base)
        self.config = copy.deepcopy(self.base)
        self.put_all(self.config, typed, first_of(typed))
        searched = self.searched(typed, self.base, multirun, allow_missing)
        overrides, first = [*typed, *searched], first_of([*typed, *searched])
        if any(override.is_group for override in searched):
            self.base = self.compose(overrides, first)
        if self.base is None:
            return searched
        self.tree(overrides, first, self.base, "", allow_missing)
        for override in overrides:
            for value in override.alternatives[1:]:
                chosen = {**first, override.key: value}
                groups = self.compose(overrides, chosen) if override.is_group else self.base
                if groups is not None:
                    note = f" (with {override.key}={value}){override.where}"
                    self.tree(overrides, chosen, groups, note, allow_missing)
        return searched

    def searched(
        self, typed: list[Override], groups: DictConfig, multirun: bool, only_shown: bool
    ) -> list[Override]:
        """Return the space of the study in the configuration as overrides, their choices checked."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, typed, first_of(typed))
        self.problems += override_problems(cfg, typed, multirun, only_shown)
        overrides = overrides_of_space(cfg, typed, self.reader, self.composer.options)
        for override in overrides:
            path = self.file_with(f"{SPACE}.{override.key}")
            override.where = f" [{short(path) if path else SPACE}]"
        self.groups.check(overrides)
        return overrides

    def names_as_typed(self, overrides: list[Override], groups: DictConfig) -> None:
        """Set names that were not read as text by overrides of their own, at the end of the list."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, overrides, first_of(overrides))
        # Of several files each would need overrides of its own.
        varies = any(override.is_group and len(override.alternatives) > 1 for override in overrides)
        find = (lambda key: None) if varies else self.file_with
        overrides += self.reader.read(
            name_overrides(cfg, SCHEMA_OF[self.app], overrides, find), False
        )[0]

    def leave_behind(self, overrides: list[Override], groups: DictConfig) -> None:
        """Take away, by overrides of their own, the keys of a part that another one takes the place of."""
        typed = {
            override.key: override.alternatives for override in overrides if not override.is_group
        }
        overrides += self.reader.read(list(overrides_that_leave_behind(groups, typed)), False)[0]

    def file_with(self, key: str) -> Path | None:
        """Return the file that set a key."""
        name = self.composer.config_name
        return sources.file_with_key(key, self.chosen_files, self.folders, name)

    def compose(self, overrides: list[Override], chosen: dict[str, str]) -> DictConfig | None:
        """Compose with the group choices alone, and with what is meant for Hydra itself."""
        groups = [
            text
            for override in overrides
            if (text := self.groups.text(override, chosen)) is not None
        ]
        groups += self.groups.stand_in_texts(overrides)
        # A launcher has the keys of the one that is chosen.
        of_hydra = [
            one.text
            for one in overrides
            if one.for_hydra
            and one.is_group
            and set(one.alternatives) <= {*self.composer.options(one.key)}
        ]
        for override in overrides:
            if (
                override.for_hydra
                and not override.is_group
                and self.try_out([*of_hydra, override.text]) is not None
            ):
                groups.append(override.text)
        return self.try_out(groups)

    def try_out(self, texts: list[str]) -> DictConfig | None:
        try:
            cfg = self.composer.compose_with_hydra(texts)
        except yaml.YAMLError as error:
            self.problems.append("configuration: not valid YAML: " + " ".join(str(error).split()))
            return None
        except (HydraException, OmegaConfBaseException) as error:
            self.problems.append(_reason(error))
            return None
        self.hydra = cfg.hydra
        self.chosen_files = choices_in(cfg)
        return without_hydra(cfg)

    def tree(
        self,
        overrides: list[Override],
        chosen: dict[str, str],
        groups: DictConfig,
        note: str,
        allow_missing: bool,
    ) -> None:
        """Put the values on a copy of the composed groups and hold it against the schema."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, overrides, chosen)
        search_too(cfg, overrides)
        name_own_parts(cfg)
        for problem in find_problems(cfg, self.app):
            top = problem.key.split(".")[0]
            if problem.kind == "missing" and (allow_missing or top in self.groups.stand_ins):
                continue
            if self.groups.stand_ins.get(top, "") is None:
                continue  # of a group whose choice is wrong and unlike any other
            if any(
                override.is_unread and is_related(problem.key, override.key)
                for override in overrides
            ):
                continue  # what was typed is not what was meant
            if note and top == "study":
                continue  # settled before its trials, which differ in other keys
            line = self.line(problem, overrides, note)
            if line not in self.problems and not self.is_reported(problem):
                self.problems.append(line + note)

    def is_reported(self, problem: Problem) -> bool:
        # That there is no such key is said once, whatever values it was given.
        start = f"{problem.key}: no such key" if problem.kind == "unknown" else str(problem)
        return any(one.startswith(start) for one in self.problems)

    def line(self, problem: Problem, overrides: Sequence[Override], note: str) -> str:
        """Return a mistake with the file it stands in, unless it was typed or the note says it."""
        key = problem.key.removeprefix(f"{SPACE}.")
        if any(
            override.sweeps and override.key == key for override in overrides if not override.where
        ):
            return f"{key}: {problem.text}"
        for override in overrides:
            if not override.is_group and is_related(problem.key, override.key):
                return str(problem) if note else f"{problem}{override.where}"
        if problem.kind in ("missing", "rule"):
            return str(problem)
        path = self.file_with(problem.key)
        return f"{problem} [{short(path)}]" if path else str(problem)

    def put_all(
        self, cfg: DictConfig, overrides: Sequence[Override], chosen: dict[str, str]
    ) -> None:
        for override in overrides:
            if not (
                override.is_group or override.for_hydra or (override.sweeps and override.of_study)
            ):
                self.put(cfg, override, chosen.get(override.key))

    def put(self, cfg: DictConfig, override: Override, value: str | None) -> None:
        """Set (or delete) one value on a tree that takes any key."""
        key = override.key
        try:
            if override.deletes:
                delete_key(cfg, key)
                return
            OmegaConf.update(cfg, key, self.reader.value(str(value)), merge=True, force_add=True)
        except (
            HydraException,
            OmegaConfBaseException,
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:
            reason = str(error.args[0]).splitlines()[0]
            line = f"{key}: cannot be set here, got {override.text}: {reason}"
            if line not in self.problems:
                self.problems.append(line)

    def for_hydra(self, overrides: list[Override], searched: list[Override]) -> list[str]:
        """Return the overrides as Hydra takes them."""
        varied = [override for override in [*overrides, *searched] if override.is_group]
        swept = {override.key for override in varied if len(override.alternatives) > 1}
        if swept & set(FILES_WITH_CHOICES):
            swept |= self.groups.default_groups
        texts = []
        for override in overrides:
            if override.deletes or override.for_hydra:
                texts.append(override.text)
            elif override.is_group:
                texts.append(self.groups.sign(override) + override.text.lstrip("+"))
            else:
                # Where the group varies, another choice may not have the key in its file.
                varies = override.key.split(".")[0] in swept
                # A mapping brings keys of its own.
                mapping = override.text.partition("=")[2].lstrip().startswith("{")
                known = self.base is not None and has_key(self.base, override.key)
                known = known and not varies and not mapping
                texts.append(("" if known else "++") + override.text.lstrip("+"))
        return texts


def _reason(error: Exception) -> str:
    """Return what Hydra says, and what OmegaConf said to it, which Hydra's own line hides."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None else ""
    message = " ".join(lines[:4])
    return f"{message}: {cause}" if cause and cause not in message else message or show(str(error))
