"""The overrides of a command line, read one by one: what each sets, and every value it stands for."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.core.override_parser.types import Override as HydraOverride
from hydra.errors import HydraException

from seglab.config.language.grammar import write_value
from seglab.core.errors import ConfigError
from seglab.core.text.shell import shell_command

_KEY = re.compile(r"\+{0,2}[\w.@/]+")
# What bash would take for something else between double quotes.
_NOT_IN_DOUBLE = re.compile(r"[\"$`!\n]|\\(?!')")
# Of a long range only the first values and the last are tried.
_MAX_ALTERNATIVES = 32
_LONGEST_RANGE = 10_000


@dataclass
class Override:
    """One override of the command line.

    Args:
        text: As typed.
        parsed: As Hydra reads it.
        is_group: Whether it chooses from a group rather than sets a value.
        alternatives: The values it stands for, as text; several in a sweep, none for `~key`.
        where: Where it stands, for messages; empty for the command line.
        is_unread: Whether it was typed without quotes that it needs, which is told; it stands for the
            text as it was typed, so that nothing else is found fault with.
    """

    text: str
    parsed: HydraOverride
    is_group: bool
    alternatives: list[str] = field(default_factory=list)
    where: str = ""
    is_unread: bool = False

    @property
    def key(self) -> str:
        """Name of the group, or dotted key."""
        return self.parsed.key_or_group

    @property
    def for_hydra(self) -> bool:
        """Whether it speaks of Hydra itself (`hydra.*`), not of the run."""
        return self.parsed.is_hydra_override()

    @property
    def of_study(self) -> bool:
        """Whether it is about the study (or grid) as a whole."""
        return self.key == "study" or self.key.startswith("study.")

    @property
    def sweeps(self) -> bool:
        """Whether it gives a key of the run (or a group) several values."""
        return self.parsed.is_sweep_override() and not self.for_hydra

    @property
    def deletes(self) -> bool:
        """Whether it takes a key or group away."""
        return self.parsed.is_delete()


class OverrideReader:
    """Reads overrides in Hydra's grammar.

    Args:
        loader: Asked for the choices that `glob(...)` matches; None when there is no such override.
        is_group: Tells the name of a group from a key.
        meant: Returns the override a word without `=` may stand for, or nothing.
    """

    def __init__(
        self,
        loader: ConfigLoader | None,
        is_group: Callable[[str], bool],
        meant: Callable[[str], str] = lambda word: "",
    ) -> None:
        self._parser = OverridesParser.create(loader)
        self._is_group = is_group
        self._meant = meant

    def read(self, texts: Sequence[str], multirun: bool) -> tuple[list[Override], list[str]]:
        """Return the overrides that can be read, and what is wrong with the others."""
        overrides, problems = [], []
        for text in texts:
            if "=" not in text and not text.startswith("~"):
                meant_word = self._meant(text)
                hint = f"; did you mean {meant_word}?" if meant_word else ""
                problems.append(f"{text}: expected key=value, got no '='{hint}")
                continue
            try:
                override = self._read_one(text)
            except HydraException as error:
                reason = str(error).splitlines()[0]
                meant = self._as_text(text)
                hint = f"; as text it is typed {_typed(meant.text)}" if meant else ""
                problems.append(f"{text}: cannot be read as key=value: {reason}{hint}")
                overrides += [meant] if meant else []
                continue
            if override.parsed.is_sweep_override():
                problem = _several(override, multirun)
                if problem is not None:
                    meant = self._as_text(text)
                    hint = f", the text as it stands {_typed(meant.text)}" if meant else ""
                    problems.append(f"{override.key}: {problem}{hint}; got {text}")
                    override = meant if meant and _looks_like_path(text) else override
            overrides.append(override)
        return overrides, problems

    def _as_text(self, text: str) -> Override | None:
        """Return what was typed without quotes as the text it is; None where that makes no sense."""
        key, _, value = text.partition("=")
        if not _KEY.fullmatch(key) or self._is_group(key.lstrip("+")) or not value.strip():
            return None
        try:
            override = self._read_one(f"{key}={write_value(value)}")
        except (HydraException, ConfigError):
            return None
        override.is_unread = True
        return override

    def value(self, text: str) -> object:
        """Return the value that a text after `=` stands for, as Hydra reads it.

        Raises:
            HydraException: It cannot be read.
        """
        return self._parser.parse_override(f"key={text}").value()

    def _read_one(self, text: str) -> Override:
        # The plural sets the loader that `glob(...)` asks for choices.
        parsed = self._parser.parse_overrides([text])[0]
        alternatives = list(_alternatives(parsed, text.partition("=")[2]))
        return Override(text, parsed, self._is_group(parsed.key_or_group), alternatives)


def _several(override: Override, multirun: bool) -> str | None:
    """Return what is wrong with several values, and how a list is written; None if nothing is."""
    value = override.text.partition("=")[2]
    if multirun and not override.for_hydra and os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111 - never raises
        return (
            "there is such a path, but it is read as several values; "
            f"a list is written {override.key}=[...]"
        )
    if multirun:
        return None
    return f"several values need --multirun (-m); a list is written {override.key}=[...]"


def _looks_like_path(text: str) -> bool:
    value = text.partition("=")[2]
    return "/" in value or os.path.exists(value)  # noqa: PTH110 - never raises


def _typed(override: str) -> str:
    """Return an override as it is typed in bash: in double quotes where they do, as they read best."""
    key, _, text = override.partition("=")
    return shell_command(override) if _NOT_IN_DOUBLE.search(text) else f'{key}="{text}"'


def _alternatives(parsed: HydraOverride, typed: str) -> Iterator[str]:
    value = parsed.value()
    if parsed.is_delete():
        return
    if isinstance(value, IntervalSweep):
        yield from (str(value.start), str(value.end))
    elif parsed.is_sweep_override():
        values = list(itertools.islice(parsed.sweep_string_iterator(), _LONGEST_RANGE))
        yield from values[: _MAX_ALTERNATIVES - 1]
        yield from values[_MAX_ALTERNATIVES - 1 :][-1:]
    else:
        yield typed


def first_of(overrides: Sequence[Override]) -> dict[str, str]:
    """Return the first value of each override by its key."""
    return {
        override.key: override.alternatives[0] for override in overrides if override.alternatives
    }


def split_choice(choice: str) -> list[str]:
    """Return the names in a group's value, which may be a list such as `[a,b]`."""
    return [name.strip().strip("'\"") for name in choice.strip("[]").split(",")]
