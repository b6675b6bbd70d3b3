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
from seglab.config.language import sources
from seglab.config.language.bare_words import meant_by
from seglab.config.language.locate import conf_dir, own_folders
from seglab.config.language.override import Override, OverrideReader, first_of, split_choice
from seglab.config.language.trees import delete_key, has_key, is_related
from seglab.config.own_parts import name_own_parts, overrides_that_leave_behind
from seglab.config.rules.study_rules import SPACE
from seglab.config.study_overrides import override_problems, overrides_of_space, search_too
from seglab.config.typed_text import name_overrides
from seglab.config.validate import App, find_problems, without_hydra
from seglab.core.errors import closest
from seglab.core.problems import Problem, did_you_mean, show, show_names

_FILES_WITH_CHOICES = ("experiment", "debug")


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
        typed, check.problems = check.reader.read(overrides, multirun)
        check.choices(typed)
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
        # Choices put in the place of wrong ones, so that the rest can be checked all the same.
        self.stand_ins: dict[str, str | None] = {}
        primary = sources.find_file(folders, "", composer.config_name)
        entries = sources.group_defaults(primary) if primary else []
        self.default_groups = {entry.group for entry in entries} | {"experiment", "debug"}
        self.base: DictConfig | None = None
        self.config: DictConfig | None = None
        self.hydra: DictConfig | None = None

    def lines(self) -> list[str]:
        """Return the problems, each once, in the order found."""
        return list(dict.fromkeys(self.problems))

    def meant(self, word: str) -> str:
        """Return what a word without `=` may stand for, to be typed instead; empty where nothing is near."""
        groups = [group for group in sorted(self.default_groups) if "/" not in group]
        found = {group: self.composer.options(group) for group in groups}
        return meant_by(word, self.app, found)

    def choices(self, overrides: list[Override]) -> None:
        """Check the choices of groups: those typed, then those in the chosen experiment's file."""
        for override in overrides:
            if not override.is_group or override.deletes:
                continue
            for choice in override.alternatives:
                self.choice(override.key, choice, override.where)
                self.not_hidden(override.key, choice, override.where)
                path = sources.find_file(self.folders, override.key, choice)
                if override.key in _FILES_WITH_CHOICES and path is not None:
                    for entry in sources.group_defaults(path):
                        where = f" [{_short(path)}]"
                        self.choice(entry.group, entry.choice, where, typed=overrides)
                        if self.folders[0] not in path.parents:  # ours mean ours
                            self.not_hidden(entry.group, entry.choice, where)

    def hidden(self, group: str, choice: str) -> list[Path]:
        """Return the files of a choice, where the first is taken and another says something else."""
        paths = (folder / group / f"{choice}.yaml" for folder in self.folders)
        found = list(dict.fromkeys(path.resolve() for path in paths if path.is_file()))
        differ = [path for path in found[1:] if path.read_bytes() != found[0].read_bytes()]
        return [found[0], *differ] if differ else []

    def not_hidden(self, group: str, choice: str, where: str) -> None:
        """Report a choice whose file, as the user wrote it, gives way to one of ours."""
        for name in split_choice(choice):
            if files := self.hidden(group, name):
                self.problems.append(
                    f"{group}: '{name}' is in {files[0]}, which is taken before {files[1]}; give yours "
                    f"another name{where}"
                )

    def choice(self, group: str, choice: str, where: str, typed: Sequence[Override] = ()) -> None:
        options = sources.choices_for(self.app, group, self.composer.options(group))
        wrong = [one for one in split_choice(choice) if one not in options and one != "null"]
        for name in wrong:
            near = closest(name, options, sources.also_called(self.folders, group, options))
            listed = f"choices are {show_names(options)}" if options else "there is no such group"
            self.problems.append(
                f"{group}: no such choice '{name}'{did_you_mean([near] if near else [])}; {listed}{where}"
            )
            if not any(override.key == group for override in typed):
                self.stand_ins[group] = near

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
            override.where = f" [{_short(path) if path else SPACE}]"
        self.choices(overrides)
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
            if (text := self.group_text(override, chosen)) is not None
        ]
        typed = {override.key for override in overrides if override.is_group}
        groups += [
            f"{key}={name}"
            for key, name in self.stand_ins.items()
            if key not in typed and name is not None
        ]
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

    def group_text(self, override: Override, chosen: dict[str, str]) -> str | None:
        if not override.is_group:
            return None
        if override.deletes:
            return override.text
        package = f"@{override.parsed.package}" if override.parsed.package else ""
        choice: str | None = chosen[override.key]
        if choice not in sources.choices_for(
            self.app, override.key, self.composer.options(override.key)
        ):
            choice = self.stand_ins.get(override.key, choice)
        return None if choice is None else f"{self.sign(override)}{override.key}{package}={choice}"

    def sign(self, override: Override) -> str:
        """Return `+` for a group that is not in the defaults list, else nothing."""
        return "" if override.key in self.default_groups or override.for_hydra else "+"

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
            if problem.kind == "missing" and (allow_missing or top in self.stand_ins):
                continue
            if self.stand_ins.get(top, "") is None:
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
        return f"{problem} [{_short(path)}]" if path else str(problem)

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
        if swept & set(_FILES_WITH_CHOICES):
            swept |= self.default_groups
        texts = []
        for override in overrides:
            if override.deletes or override.for_hydra:
                texts.append(override.text)
            elif override.is_group:
                texts.append(self.sign(override) + override.text.lstrip("+"))
            else:
                # Where the group varies, another choice may not have the key in its file.
                varies = override.key.split(".")[0] in swept
                # A mapping brings keys of its own.
                mapping = override.text.partition("=")[2].lstrip().startswith("{")
                known = self.base is not None and has_key(self.base, override.key)
                known = known and not varies and not mapping
                texts.append(("" if known else "++") + override.text.lstrip("+"))
        return texts


def _short(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _reason(error: Exception) -> str:
    """Return what Hydra says, and what OmegaConf said to it, which Hydra's own line hides."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None else ""
    message = " ".join(lines[:4])
    return f"{message}: {cause}" if cause and cause not in message else message or show(str(error))
