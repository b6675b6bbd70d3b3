"""Checks a command line before Hydra composes it, and reports all mistakes at once.

Hydra stops at the first mistake, hides the reason of some, and lets `+misspelt=1` through. Here
each word is tried on its own: a choice against the files there are, a value on a tree that takes
any key, and what comes out against the schema. Hydra then gets words that it accepts.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.config import sources
from seglab.config.composer import Composer, choices_in, open_composer
from seglab.config.locate import conf_dir
from seglab.config.own_parts import name_own_parts, words_that_leave_behind
from seglab.config.schema import SCHEMA_OF
from seglab.config.study_rules import SPACE
from seglab.config.study_words import search_too, word_problems, words_of_space
from seglab.config.trees import delete_key, has_key, is_related
from seglab.config.typed_text import name_overrides
from seglab.config.validate import App, find_problems, without_hydra
from seglab.config.words import Word, WordReader, first_of, split_choice
from seglab.core.problems import Problem, did_you_mean, show, show_names

_FILES_WITH_CHOICES = ("experiment", "debug")
# The data a run was trained on is only there once there is a run.
_ONLY_FOR = {("data", "run"): "evaluate"}


@dataclass(frozen=True)
class CheckedOverrides:
    """What came of a check.

    Attributes:
        overrides: The words for Hydra: `+` and `++` put right where the key is a known one.
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

    In a multirun each alternative of a word is tried once, with the first one of all others.

    Args:
        app: The command.
        overrides: Words such as `model=segnet`, `optimizer.lr=0.01`, `+x=1`, `~y`.
        multirun: Whether several values are allowed.
        allow_missing: Do not report values that are still to be given.
        config_name: Primary configuration; `app` by default.
        folder: Configuration folder; `conf_dir()` by default.
        search: Further folders with groups.
    """
    name = config_name or app
    with open_composer(name, folder, search) as composer:
        check = _Check(app, composer, [*search, folder or conf_dir()])
        words, check.problems = check.reader.read(overrides, multirun)
        check.choices(words)
        searched = check.values(words, allow_missing, multirun)
        for_hydra = check.for_hydra(words, searched)
        return CheckedOverrides(for_hydra, check.lines(), check.config, check.hydra)


def choices_for(app: App, group: str, options: Sequence[str]) -> list[str]:
    """Return the choices of a group that a command may use."""
    return [name for name in options if _ONLY_FOR.get((group, name), app) == app]


class _Check:
    """One check; collects the problems."""

    def __init__(self, app: App, composer: Composer, folders: list[Path]) -> None:
        self.app = app
        self.composer = composer
        self.folders = folders
        self.reader = WordReader(composer.loader(), composer.is_group)
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

    def choices(self, words: list[Word]) -> None:
        """Check the choices of groups: those typed, then those in the chosen experiment's file."""
        for word in words:
            if not word.is_group or word.deletes:
                continue
            for choice in word.alternatives:
                self.choice(word.key, choice, word.where)
                path = sources.find_file(self.folders, word.key, choice)
                if word.key in _FILES_WITH_CHOICES and path is not None:
                    for entry in sources.group_defaults(path):
                        self.choice(entry.group, entry.choice, f" [{_short(path)}]", typed=words)

    def choice(self, group: str, choice: str, where: str, typed: Sequence[Word] = ()) -> None:
        options = choices_for(self.app, group, self.composer.options(group))
        wrong = [one for one in split_choice(choice) if one not in options and one != "null"]
        for name in wrong:
            near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
            listed = f"choices are {show_names(options)}" if options else "there is no such group"
            self.problems.append(
                f"{group}: no such choice '{name}'{did_you_mean(near)}; {listed}{where}"
            )
            if not any(word.key == group for word in typed):
                self.stand_ins[group] = near[0] if near else None

    def values(self, typed: list[Word], allow_missing: bool, multirun: bool) -> list[Word]:
        """Compose with the first alternatives, check; then with each other alternative in turn.

        Returns:
            What the study in the configuration searches beside the words typed.
        """
        self.base = self.compose(typed, first_of(typed))
        if self.base is None:
            return []
        self.leave_behind(typed, self.base)
        self.names_as_typed(typed, self.base)
        self.config = copy.deepcopy(self.base)
        self.put_all(self.config, typed, first_of(typed))
        searched = self.searched(typed, self.base, multirun, allow_missing)
        words, first = [*typed, *searched], first_of([*typed, *searched])
        if any(word.is_group for word in searched):
            self.base = self.compose(words, first)
        if self.base is None:
            return searched
        self.tree(words, first, self.base, "", allow_missing)
        for word in words:
            for value in word.alternatives[1:]:
                chosen = {**first, word.key: value}
                groups = self.compose(words, chosen) if word.is_group else self.base
                if groups is not None:
                    note = f" (with {word.key}={value}){word.where}"
                    self.tree(words, chosen, groups, note, allow_missing)
        return searched

    def searched(
        self, typed: list[Word], groups: DictConfig, multirun: bool, only_shown: bool
    ) -> list[Word]:
        """Return the space of the study in the configuration as words, their choices checked."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, typed, first_of(typed))
        self.problems += word_problems(cfg, typed, multirun, only_shown)
        words = words_of_space(cfg, typed, self.reader, self.composer.options)
        for word in words:
            path = self.file_with(f"{SPACE}.{word.key}")
            word.where = f" [{_short(path) if path else SPACE}]"
        self.choices(words)
        return words

    def names_as_typed(self, words: list[Word], groups: DictConfig) -> None:
        """Set names that were not read as text by words of their own, at the end of the list."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, words, first_of(words))
        # Of several files each would need words of its own.
        varies = any(word.is_group and len(word.alternatives) > 1 for word in words)
        find = (lambda key: None) if varies else self.file_with
        words += self.reader.read(name_overrides(cfg, SCHEMA_OF[self.app], words, find), False)[0]

    def leave_behind(self, words: list[Word], groups: DictConfig) -> None:
        """Take away, by words of their own, the keys of a part that another one takes the place of."""
        typed = {word.key: word.alternatives for word in words if not word.is_group}
        words += self.reader.read(list(words_that_leave_behind(groups, typed)), False)[0]

    def file_with(self, key: str) -> Path | None:
        """Return the file that set a key."""
        name = self.composer.config_name
        return sources.file_with_key(key, self.chosen_files, self.folders, name)

    def compose(self, words: list[Word], chosen: dict[str, str]) -> DictConfig | None:
        """Compose with the group choices alone, and with what is meant for Hydra itself."""
        groups = [text for word in words if (text := self.group_text(word, chosen)) is not None]
        typed = {word.key for word in words if word.is_group}
        groups += [
            f"{key}={name}"
            for key, name in self.stand_ins.items()
            if key not in typed and name is not None
        ]
        for word in words:
            if word.for_hydra and not word.is_group and self.try_out([word.text]) is not None:
                groups.append(word.text)
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

    def group_text(self, word: Word, chosen: dict[str, str]) -> str | None:
        if not word.is_group:
            return None
        if word.deletes:
            return word.text
        package = f"@{word.override.package}" if word.override.package else ""
        choice: str | None = chosen[word.key]
        if choice not in choices_for(self.app, word.key, self.composer.options(word.key)):
            choice = self.stand_ins.get(word.key, choice)
        return None if choice is None else f"{self.sign(word)}{word.key}{package}={choice}"

    def sign(self, word: Word) -> str:
        """Return `+` for a group that is not in the defaults list, else nothing."""
        return "" if word.key in self.default_groups or word.for_hydra else "+"

    def tree(
        self,
        words: list[Word],
        chosen: dict[str, str],
        groups: DictConfig,
        note: str,
        allow_missing: bool,
    ) -> None:
        """Put the values on a copy of the composed groups and hold it against the schema."""
        cfg = copy.deepcopy(groups)
        self.put_all(cfg, words, chosen)
        search_too(cfg, words)
        name_own_parts(cfg)
        for problem in find_problems(cfg, self.app):
            top = problem.key.split(".")[0]
            if problem.kind == "missing" and (allow_missing or top in self.stand_ins):
                continue
            if self.stand_ins.get(top, "") is None:
                continue  # of a group whose choice is wrong and unlike any other
            if any(word.is_unread and is_related(problem.key, word.key) for word in words):
                continue  # what was typed is not what was meant
            if note and top == "study":
                continue  # settled before its trials, which differ in other keys
            line = self.line(problem, words, note)
            if line not in self.problems and not self.said(problem):
                self.problems.append(line + note)

    def said(self, problem: Problem) -> bool:
        # That there is no such key is said once, whatever values it was given.
        start = f"{problem.key}: no such key" if problem.kind == "unknown" else str(problem)
        return any(one.startswith(start) for one in self.problems)

    def line(self, problem: Problem, words: Sequence[Word], note: str) -> str:
        """Return a mistake with the file it stands in, unless it was typed or the note says it."""
        key = problem.key.removeprefix(f"{SPACE}.")
        if any(word.sweeps and word.key == key for word in words if not word.where):
            return f"{key}: {problem.text}"
        for word in words:
            if not word.is_group and is_related(problem.key, word.key):
                return str(problem) if note else f"{problem}{word.where}"
        if problem.kind in ("missing", "rule"):
            return str(problem)
        path = self.file_with(problem.key)
        return f"{problem} [{_short(path)}]" if path else str(problem)

    def put_all(self, cfg: DictConfig, words: Sequence[Word], chosen: dict[str, str]) -> None:
        for word in words:
            if not (word.is_group or word.for_hydra or (word.sweeps and word.of_study)):
                self.put(cfg, word, chosen.get(word.key))

    def put(self, cfg: DictConfig, word: Word, value: str | None) -> None:
        """Set (or delete) one value on a tree that takes any key."""
        key = word.key
        try:
            if word.deletes:
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
            line = f"{key}: cannot be set here, got {word.text}: {reason}"
            if line not in self.problems:
                self.problems.append(line)

    def for_hydra(self, words: list[Word], searched: list[Word]) -> list[str]:
        """Return the words as Hydra takes them."""
        varied = [word for word in [*words, *searched] if word.is_group]
        swept = {word.key for word in varied if len(word.alternatives) > 1}
        if swept & set(_FILES_WITH_CHOICES):
            swept |= self.default_groups
        texts = []
        for word in words:
            if word.deletes or word.for_hydra:
                texts.append(word.text)
            elif word.is_group:
                texts.append(self.sign(word) + word.text.lstrip("+"))
            else:
                # Where the group varies, another choice may not have the key in its file.
                varies = word.key.split(".")[0] in swept
                # A mapping brings keys of its own.
                mapping = word.text.partition("=")[2].lstrip().startswith("{")
                known = self.base is not None and has_key(self.base, word.key)
                known = known and not varies and not mapping
                texts.append(("" if known else "++") + word.text.lstrip("+"))
        return texts


def _short(path: Path) -> str:
    return "/".join(path.parts[-3:])


def _reason(error: Exception) -> str:
    """Return what Hydra says, and what OmegaConf said to it, which Hydra's own line hides."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None else ""
    said = " ".join(lines[:4])
    return f"{said}: {cause}" if cause and cause not in said else said or show(str(error))
