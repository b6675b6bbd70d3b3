"""How to cut a data set into folds: one frozen dataclass, checked when it is made."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seglab.core.errors import ConfigError, nearest

SCHEMES = ("kfold", "stratified", "grouped", "stratified_grouped", "block", "nested")
INNER_SCHEMES = SCHEMES[:-1]
GROUPED_SCHEMES = ("grouped", "stratified_grouped")
GROUP_SOURCES = ("auto", "column", "pattern", "near_duplicates")
# Unlabeled samples can be neither trained on nor scored.
POOLED_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FoldSettings:
    """Settings of `make_folds`.

    Args:
        scheme: `kfold`: at random. `stratified`: classes occur alike in all folds. `grouped`:
            groups stay whole. `stratified_grouped`: both. `block`: consecutive frames of each
            sequence. `nested`: folds to choose by inside folds to test on.
        folds: Number of folds, at least 2; of the outer ones for `nested`.
        repeats: How often everything is shuffled and cut anew.
        seed: Which of the possible cuts.
        group_by: Where groups (for `block`: sequences) come from. `column`: the manifest's `group`.
            `pattern`: the sample id. `near_duplicates`: images that look alike, joined with the
            column where it says something. `auto`: the column where it says something; else grouped
            schemes are refused, and `block` takes everything for one sequence.
        group_pattern: For `pattern`: a regular expression searched for in the sample id; its one
            bracket (or the bracket named `group`) is the group.
        max_hash_distance: Images are near duplicates when their perceptual hashes (64 bits) differ
            in at most so many bits. Unrelated images differ in 32 on average, but among many
            thousands some pairs come down to about 10: beyond 8 everything tends to be joined.
        gap: For `block`: samples left out of training on both sides of a held-out block, within
            its sequence.
        inner_folds: For `nested`: number of folds inside each outer one, at least 2.
        inner_scheme: For `nested`: the scheme of outer and inner folds, any but `nested`.
        splits: Splits of the manifest that are pooled and cut; the others take no part at all.
        allow_leaks: Go on where one file lies on both sides of a fold.

    Raises:
        ConfigError: Settings are out of range or contradict each other; all of them are listed.
    """

    scheme: str
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    group_by: str = "auto"
    group_pattern: str | None = None
    max_hash_distance: int = 4
    gap: int = 0
    inner_folds: int = 3
    inner_scheme: str = "stratified"
    splits: tuple[str, ...] = ("train", "val")
    allow_leaks: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", tuple(self.splits))
        problems = [*_choice_problems(self), *_range_problems(self), *_group_problems(self)]
        if problems:
            raise ConfigError(problems)

    @property
    def cut_scheme(self) -> str:
        """The scheme that draws the folds: `inner_scheme` for `nested`, else `scheme`."""
        return self.inner_scheme if self.scheme == "nested" else self.scheme

    @property
    def nested(self) -> bool:
        """Whether folds lie inside folds."""
        return self.scheme == "nested"

    @property
    def grouped(self) -> bool:
        """Whether groups are promised to stay whole."""
        return self.cut_scheme in GROUPED_SCHEMES

    def to_dict(self) -> dict[str, Any]:
        """Return plain content for YAML and hashes."""
        return dataclasses.asdict(self) | {"splits": list(self.splits)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FoldSettings:
        """Read what `to_dict` returned.

        Raises:
            ConfigError: Keys are unknown or missing, or values are wrong.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = [f"unknown key {key}{nearest(key, names)}" for key in content if key not in names]
        if unknown:
            raise ConfigError(unknown)
        if "scheme" not in content:
            raise ConfigError(f"scheme is missing; it is one of {', '.join(SCHEMES)}")
        return cls(**content)


def _choice_problems(settings: FoldSettings) -> list[str]:
    problems = []
    for name, allowed in (
        ("scheme", SCHEMES),
        ("inner_scheme", INNER_SCHEMES),
        ("group_by", GROUP_SOURCES),
    ):
        value = getattr(settings, name)
        if value not in allowed:
            hint = nearest(str(value), allowed)
            problems.append(f"{name} must be one of {', '.join(allowed)}; got {value!r}{hint}")
    wrong = [name for name in settings.splits if name not in POOLED_SPLITS]
    if wrong or not settings.splits or len(set(settings.splits)) < len(settings.splits):
        problems.append(
            f"splits must be some of {', '.join(POOLED_SPLITS)}, each once; "
            f"got {', '.join(map(str, settings.splits)) or 'none'}"
        )
    return problems


def _range_problems(settings: FoldSettings) -> list[str]:
    problems = []
    for name, least, most in (
        ("folds", 2, None),
        ("repeats", 1, None),
        ("max_hash_distance", 0, 64),
        ("gap", 0, None),
        ("inner_folds", 2, None),
    ):
        value = getattr(settings, name)
        if value < least or (most is not None and value > most):
            limit = f"at least {least}" if most is None else f"in {least}..{most}"
            problems.append(f"{name} must be {limit}, got {value}")
    block = settings.cut_scheme == "block"
    if block and settings.repeats > 1:
        problems.append(
            f"repeats must be 1 for blocks, got {settings.repeats}: nothing is shuffled, so every "
            "repeat would have the same blocks"
        )
    # A nested plan may carry a gap along for the case that its inner scheme is `block`.
    if settings.gap > 0 and not block and not settings.nested:
        problems.append(f"gap counts only for scheme block, got {settings.gap} for others: set 0")
    return problems


def _group_problems(settings: FoldSettings) -> list[str]:
    pattern = settings.group_pattern
    if settings.group_by != "pattern":
        if pattern is None:
            return _sequence_problems(settings)
        return [f"group_pattern counts only for group_by=pattern, got group_by={settings.group_by}"]
    if pattern is None:
        return ["group_by=pattern needs group_pattern, for example '^([^_]+)_'"]
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return [f"group_pattern {pattern!r} is no regular expression: {error}"]
    if compiled.groups != 1 and "group" not in compiled.groupindex:
        return [
            f"group_pattern {pattern!r} must have one bracket, or one named `group` as in "
            f"(?P<group>...); it has {compiled.groups}. Brackets that only join are (?:...)"
        ]
    return []


def _sequence_problems(settings: FoldSettings) -> list[str]:
    if settings.cut_scheme == "block" and settings.group_by == "near_duplicates":
        return [
            "group_by=near_duplicates finds no sequences, which blocks are cut from; use column, "
            "pattern or auto, or scheme=grouped"
        ]
    return []
