"""The words of a command line, read one by one: what each sets, and every value it stands for."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

from seglab.config.grammar import write_value
from seglab.core.errors import ConfigError
from seglab.core.shell import shell_command

_KEY = re.compile(r"\+{0,2}[\w.@/]+")
# What bash would take for something else between double quotes.
_NOT_IN_DOUBLE = re.compile(r"[\"$`!\n]|\\(?!')")
# Of a long range only the first values and the last are tried.
_MAX_ALTERNATIVES = 32
_LONGEST_RANGE = 10_000


@dataclass
class Word:
    """One word of the command line.

    Args:
        text: As typed.
        override: As Hydra reads it.
        is_group: Whether it chooses from a group rather than sets a value.
        alternatives: The values it stands for, as text; several in a sweep, none for `~key`.
        where: Where it stands, for messages; empty for the command line.
        is_unread: Whether it was typed without quotes that it needs, which is told; it stands for the
            text as it was typed, so that nothing else is found fault with.
    """

    text: str
    override: Override
    is_group: bool
    alternatives: list[str] = field(default_factory=list)
    where: str = ""
    is_unread: bool = False

    @property
    def key(self) -> str:
        """Name of the group, or dotted key."""
        return self.override.key_or_group

    @property
    def for_hydra(self) -> bool:
        """Whether it speaks of Hydra itself (`hydra.*`), not of the run."""
        return self.override.is_hydra_override()

    @property
    def of_study(self) -> bool:
        """Whether it is about the study (or grid) as a whole."""
        return self.key == "study" or self.key.startswith("study.")

    @property
    def sweeps(self) -> bool:
        """Whether it gives a key of the run (or a group) several values."""
        return self.override.is_sweep_override() and not self.for_hydra

    @property
    def deletes(self) -> bool:
        """Whether it takes a key or group away."""
        return self.override.is_delete()


class WordReader:
    """Reads words in Hydra's grammar.

    Args:
        loader: Asked for the choices that `glob(...)` matches; None when there is no such word.
        is_group: Tells the name of a group from a key.
    """

    def __init__(self, loader: ConfigLoader | None, is_group: Callable[[str], bool]) -> None:
        self._parser = OverridesParser.create(loader)
        self._is_group = is_group

    def read(self, texts: Sequence[str], multirun: bool) -> tuple[list[Word], list[str]]:
        """Return the words that can be read, and what is wrong with the others."""
        words, problems = [], []
        for text in texts:
            if "=" not in text and not text.startswith("~"):
                problems.append(f"{text}: expected key=value, got no '='")
                continue
            try:
                word = self._read_one(text)
            except HydraException as error:
                reason = str(error).splitlines()[0]
                meant = self._as_text(text)
                hint = f"; as text it is typed {_typed(meant.text)}" if meant else ""
                problems.append(f"{text}: cannot be read as key=value: {reason}{hint}")
                words += [meant] if meant else []
                continue
            if word.override.is_sweep_override():
                problem = _several(word, multirun)
                if problem is not None:
                    meant = self._as_text(text)
                    hint = f", the text as it stands {_typed(meant.text)}" if meant else ""
                    problems.append(f"{word.key}: {problem}{hint}; got {text}")
                    word = meant if meant and _looks_like_path(text) else word
            words.append(word)
        return words, problems

    def _as_text(self, text: str) -> Word | None:
        """Return what was typed without quotes as the text it is; None where that makes no sense."""
        key, _, value = text.partition("=")
        if not _KEY.fullmatch(key) or self._is_group(key.lstrip("+")) or not value.strip():
            return None
        try:
            word = self._read_one(f"{key}={write_value(value)}")
        except (HydraException, ConfigError):
            return None
        word.is_unread = True
        return word

    def value(self, text: str) -> object:
        """Return the value that a text after `=` stands for, as Hydra reads it.

        Raises:
            HydraException: It cannot be read.
        """
        return self._parser.parse_override(f"key={text}").value()

    def _read_one(self, text: str) -> Word:
        # The plural sets the loader that `glob(...)` asks for choices.
        override = self._parser.parse_overrides([text])[0]
        alternatives = list(_alternatives(override, text.partition("=")[2]))
        return Word(text, override, self._is_group(override.key_or_group), alternatives)


def _several(word: Word, multirun: bool) -> str | None:
    """Return what is wrong with several values, and how a list is written; None if nothing is."""
    value = word.text.partition("=")[2]
    if multirun and not word.for_hydra and os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111 - never raises
        return f"there is such a path, but it is read as several values; a list is written {word.key}=[...]"
    if multirun:
        return None
    return f"several values need --multirun (-m); a list is written {word.key}=[...]"


def _looks_like_path(text: str) -> bool:
    value = text.partition("=")[2]
    return "/" in value or os.path.exists(value)  # noqa: PTH110 - never raises


def _typed(word: str) -> str:
    """Return a word as it is typed in bash: in double quotes where they do, as they read best."""
    key, _, text = word.partition("=")
    return shell_command(word) if _NOT_IN_DOUBLE.search(text) else f'{key}="{text}"'


def _alternatives(override: Override, typed: str) -> Iterator[str]:
    value = override.value()
    if override.is_delete():
        return
    if isinstance(value, IntervalSweep):
        yield from (str(value.start), str(value.end))
    elif override.is_sweep_override():
        values = list(itertools.islice(override.sweep_string_iterator(), _LONGEST_RANGE))
        yield from values[: _MAX_ALTERNATIVES - 1]
        yield from values[_MAX_ALTERNATIVES - 1 :][-1:]
    else:
        yield typed


def first_of(words: Sequence[Word]) -> dict[str, str]:
    """Return the first value of each word by its key."""
    return {word.key: word.alternatives[0] for word in words if word.alternatives}


def split_choice(choice: str) -> list[str]:
    """Return the names in a group's value, which may be a list such as `[a,b]`."""
    return [name.strip().strip("'\"") for name in choice.strip("[]").split(",")]
