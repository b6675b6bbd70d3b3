"""The words of a command line, read one by one: what each sets, and every value it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException

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
    """

    text: str
    override: Override
    is_group: bool
    alternatives: list[str] = field(default_factory=list)
    where: str = ""

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
                problems.append(f"{text}: cannot be read as key=value: {reason}")
                continue
            if word.override.is_sweep_override() and not multirun:
                problems.append(
                    f"{word.key}: several values need --multirun (-m); a list is written "
                    f"{word.key}=[...], text with a comma {word.key}=\"'...'\"; got {text}"
                )
            words.append(word)
        return words, problems

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
